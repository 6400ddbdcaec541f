"""Cards that leave and cards that come: each form is read back without asking anybody."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from pypdf import PdfReader
from sqlalchemy import update

from backend.cards.adoption import adopt_huggingface_card, adopt_mlflow_version, mlflow_card
from backend.cards.document import BLOCKS, GAP, parse_card, source_of
from backend.cards.errors import NoSuchCard
from backend.cards.examination import Examined, examine_card
from backend.cards.export import FORMS, export_card
from backend.cards.front_matter import check_front_matter
from backend.cards.sections import missing_parts
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.registry.inventory import FoundModel, FoundRun, FoundVersion, import_registry
from backend.registry.tables import Model
from tests.integration.cards.conftest import approve, realise
from tests.worlds import SYSTEM, World

FLIGHTS = Path(__file__).parents[3] / "models_cards" / "flight-delay.md"
HUGGING_FACE = """---
license: apache-2.0
pipeline_tag: text-classification
co2_eq_emissions: 3
model-index:
- name: bert
  results:
  - task:
      type: text-classification
    dataset:
      name: glue
      type: glue
    metrics:
    - type: accuracy
      value: 0.95
---
# Model Card for Bert

## Model Details

### Model Description

Reads.

## Uses

### Direct Use

Reading. {{ model_summary | default("") }}
"""


@pytest.fixture
def found(world: World) -> Examined:
    """The flight card as an approved card of `toy`, with live figures."""
    realise(0.72, days_ago=2)
    approve(world, FLIGHTS.read_text())
    return examine(world)


def examine(world: World, model: str = "toy", version: int = 2, *, newest: bool = False) -> Examined:
    with reading() as session:
        return examine_card(session, world.viewer, model, version, newest=newest)


def exported(found: Examined, form: str) -> str:
    return export_card(found, form).body.decode()


def test_every_form_has_a_name_that_says_of_what_it_is(found: Examined) -> None:
    names = {form: export_card(found, form).name for form in FORMS}
    assert names == {
        "source": "toy-v2-card1.source.md", "markdown": "toy-v2-card1.md", "huggingface": "toy-v2-card1.README.md",
        "html": "toy-v2-card1.html", "pdf": "toy-v2-card1.pdf",
    }  # fmt: skip
    with pytest.raises(BadInput, match="exported as source, markdown, huggingface, html, pdf, not 'docx'"):
        export_card(found, "docx")


def test_the_source_is_what_was_written_and_the_markdown_comes_back_as_it(found: Examined) -> None:
    assert exported(found, "source") == FLIGHTS.read_text()
    filled = exported(found, "markdown")
    assert parse_card(filled).errors == ()
    assert source_of(filled) == FLIGHTS.read_text()
    assert "0.720 (95 % 0.710 to 0.730, 1,000 labelled rows" in filled


def test_hugging_faces_card_has_figures_in_its_index_and_none_of_our_marks(found: Examined) -> None:
    text = exported(found, "huggingface")
    _, front, body = text.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert check_front_matter(front, fields) == []
    assert "warrant" not in fields
    metrics = fields["model-index"][0]["results"][0]["metrics"]
    assert (metrics[0]["type"], metrics[0]["value"]) == ("roc_auc", 0.72)
    assert metrics[1]["value"] == "unknown"
    assert "{{" not in text
    assert "<!--" not in body
    assert [one.reason for one in missing_parts(parse_card(text)) if one.line == 0] == []


class Document(HTMLParser):
    """Elements that are open, and the text."""

    void = frozenset({"meta", "br", "hr", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "link", "object", "base", "form")
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "srcset")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_is_one_well_formed_file_with_every_fact_block(found: Examined) -> None:
    reader = Document()
    reader.feed(exported(found, "html"))
    assert reader.open == []
    text = " ".join("".join(reader.text).split())
    for title in BLOCKS.values():
        assert f"{title} (from the system, " in text
    assert found.document.digest in text
    assert "Ordering a work list" in text
    assert "Unknown: no parameter" not in text


def test_the_pdf_says_what_speaks_against_the_card_before_its_text(world: World, found: Examined) -> None:
    realise(0.55, days_ago=1)
    realise(0.55, days_ago=3)
    pages = [
        page.extract_text() for page in PdfReader(io.BytesIO(export_card(examine(world), "pdf").body)).pages
    ]
    text = " ".join(" ".join(pages).split())
    assert "What speaks against it – the card says AUC 0.720" in text
    assert text.index("What speaks against it") < text.index("Model Details")
    assert "Ordering a work list, where a wrong order costs a glance." in text
    for number, page in enumerate(pages, 1):
        assert f"page {number} of {len(pages)}" in page
        assert "toy v2 card 1, approved" in page
        assert found.document.digest in page
        assert re.search(r"as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", page)


def test_a_card_of_hugging_face_comes_in_with_its_figures_and_blanks_for_what_it_lacks(world: World) -> None:
    text = HUGGING_FACE.replace('{{ model_summary | default("") }}', "")
    with writing() as session:
        taken = adopt_huggingface_card(session, world.engineer, model="toy", version=2, text=text)
    assert (taken.card.number, taken.card.source) == (1, "huggingface")
    card = parse_card(taken.card.text)
    assert card.section("Prohibited Use").text == GAP  # type: ignore[union-attr]
    assert taken.card.text.count("Model Details") == 1
    assert taken.card.text.count("Description") == 1
    assert [one.reason for one in missing_parts(card) if one.line == 0] == []
    with writing() as session:
        assert not adopt_huggingface_card(session, world.engineer, model="toy", version=2, text=text).made


def test_a_template_of_hugging_face_that_was_not_filled_in_is_refused_with_its_line(world: World) -> None:
    with writing() as session, pytest.raises(BadInput, match=r"line 29: \{\{ model_summary"):
        adopt_huggingface_card(session, world.engineer, model="toy", version=2, text=HUGGING_FACE)
    with writing() as session, pytest.raises(BadInput, match="begins with front matter"):
        adopt_huggingface_card(session, world.engineer, model="toy", version=2, text="# Bare\n")


def test_a_version_of_mlflow_becomes_a_card_of_the_registrys_own_words(world: World) -> None:
    run = FoundRun({"depth": "3"}, {"roc_auc": 0.9}, {}, "ada", None, None)
    signature = {"inputs": '[{"name": "x"}]', "outputs": "`{{ facts live }}`"}
    versions = (
        FoundVersion(
            1, "r1", "s3://m", "READY", "Second try.\n# Not a heading {{ tier }}", {"team": "x"}, None, run, signature
        ),
    )  # fmt: skip
    with writing() as session:
        import_registry(
            session, SYSTEM, registry="https://mlflow.example.com",
            found=[FoundModel("taxis", "Fares.", {"mlflow.note": "x", "city": "y"}, {}, None, None, versions)],
        )  # fmt: skip
    with writing() as session:
        taken = adopt_mlflow_version(session, world.engineer, model="taxis", version=1)
    card = parse_card(taken.card.text)
    assert card.errors == ()
    assert (taken.card.source, taken.card.source_name) == ("mlflow", "models:/taxis/1")
    assert card.section("Description").text == "> Fares.\n>\n> Second try.\n> # Not a heading { { tier }}"  # type: ignore[union-attr]
    assert card.front["tags"] == ["city", "team"]
    assert [one.reason for one in missing_parts(card) if one.line == 0] == []
    found = examine(world, "taxis", 1, newest=True)
    assert "value: 0.9" in exported(found, "markdown")
    assert PdfReader(io.BytesIO(export_card(found, "pdf").body)).pages
    with reading() as session, pytest.raises(NoSuchCard, match="warrant import mlflow"):
        mlflow_card(session, world.viewer, "toy", 2)


def test_a_title_of_the_house_cannot_break_a_document(world: World, found: Examined) -> None:
    with writing() as session:
        session.execute(update(Model).values(title="<script>alert(1)</script>|x"))
    reader = Document()
    reader.feed(exported(examine(world), "html"))
    assert reader.open == []
