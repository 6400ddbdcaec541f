"""Cards that come from elsewhere: a version of an imported registry, or a card of Hugging Face.

Nothing is asked of the network: what MLflow says of a version was stored by the job that imported its registry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from backend.cards.document import GAP, read_card_source
from backend.cards.errors import NoSuchCard
from backend.cards.sections import WANTED
from backend.cards.service import Taken, import_card
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.registry.inventory import require_known
from backend.registry.tables import ImportedModel, ImportedVersion, Version


def adopt_mlflow_version(
    session: WriteSession, actor: Actor, *, model: str, version: int, based_on: int | None = None
) -> Taken:
    """A first card from what MLflow's registry says of a version: descriptions, tags, signature; the rest is blank.

    Raises `NoSuchCard` for a version that no import has brought.
    """
    allow(session, actor, Permission.WRITE_CARDS)
    text = mlflow_card(session, actor, model, version)
    return import_card(
        session, actor, model=model, version=version, text=text, source="mlflow",
        source_name=f"models:/{model}/{version}", based_on=based_on,
    )  # fmt: skip


def adopt_huggingface_card(
    session: WriteSession, actor: Actor, *, model: str, version: int, text: str, source_name: str = "README.md",
    based_on: int | None = None,
) -> Taken:  # fmt: skip
    """A card as Hugging Face keeps it. Headings that ours has and it lacks are added, each left blank.

    Its figures stay what its writers typed: they are held against what is recorded here, as any typed figure is.
    """
    allow(session, actor, Permission.WRITE_CARDS)
    document = read_card_source(text)
    if not document.front:
        raise BadInput("line 1: a card of Hugging Face begins with front matter between `---`", field="text")
    absent = [
        one for one in WANTED
        if not any(document.section(title) is not None for title in (one.title, *one.others))
    ]  # fmt: skip
    added = "".join(
        f"\n{'#' * one.level} {one.title}\n" + (f"\n{GAP}\n" if one.weight else "") for one in absent
    )
    return import_card(
        session, actor, model=model, version=version, text=document.source + added, source="huggingface",
        source_name=source_name, based_on=based_on,
    )  # fmt: skip


def mlflow_card(session: ReadSession, viewer: Actor, model: str, version: int) -> str:
    """The source of a card made from the registry's own words."""
    require_known(session, viewer, model, version)
    imported = session.get(ImportedVersion, (model, version))
    about = session.get(ImportedModel, model)
    if imported is None or about is None:
        raise NoSuchCard(
            f"no import has brought {model} version {version} from a registry; `warrant import mlflow` does that"
        )
    metrics = sorted((imported.run or {}).get("metrics", {}))
    if session.get(Version, (model, version)) is not None:
        metrics = sorted(session.get_one(Version, (model, version)).metrics)
    front: dict[str, Any] = {
        "tags": sorted({_word(key) for key in (*about.tags, *imported.tags) if not key.startswith("mlflow.")}) or None,
        "metrics": metrics or None,
        "warrant": {"owner": GAP, "risk_tier": "{{ tier }}", "purpose": GAP},
    }  # fmt: skip
    if metrics:
        front["model-index"] = [{
            "name": model,
            "results": [{
                "task": {"type": GAP}, "dataset": {"type": GAP, "name": GAP},
                "metrics": [{"type": name, "value": f"{{{{ metric {name} }}}}"} for name in metrics],
            }],
        }]  # fmt: skip
    head = yaml.safe_dump(
        {key: one for key, one in front.items() if one}, sort_keys=False, allow_unicode=True, width=1000
    )
    said = {
        "Description": _quoted(about.description, imported.description),
        "Technical Specifications": _signature(imported),
    }
    return card_skeleton(model, head, said)


def card_skeleton(title: str, head: str, said: Mapping[str, str]) -> str:
    """Every heading that a card should have, with what is known of it; the rest is left blank, and counts as a gap.

    head  its front matter as YAML
    """
    parts = [f"---\n{head}---\n\n# Model card: {title}\n"]
    for one in WANTED:
        text = said.get(one.title) or (GAP if one.weight else "")
        parts.append(f"\n{'#' * one.level} {one.title}\n" + (f"\n{text}\n" if text else ""))
    return "".join(parts)


def _quoted(*texts: str) -> str:
    """What others wrote, as a quotation: it cannot make headings or placeholders of its own."""
    plain = [text.strip().replace("{{", "{ {").replace("<!--", "< !--") for text in texts if text.strip()]
    lines = [
        re.sub(r"[\x00-\x08\x0b-\x1f]", " ", line) for text in plain for line in (*text.splitlines(), "")
    ]
    return "\n".join(f"> {line}".rstrip() for line in lines[:-1])


def _signature(imported: ImportedVersion) -> str:
    if not imported.signature:
        return ""
    named = [
        f"- **{side.capitalize()}:** `{str(imported.signature[side]).replace('`', '')[:2000].replace('{{', '{ {')}`"
        for side in ("inputs", "outputs")
        if imported.signature.get(side)
    ]
    return "\n".join(named)


def _word(text: str) -> str:
    return " ".join(text.split())[:100]
