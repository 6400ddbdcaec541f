"""The script that puts what a refresh brings into what is there, on a page of its own in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from app.frame import STEADY

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROW = "<tr><th>{0}</th><td>{1}</td><td><details><summary>log</summary>{0} is told</details></td></tr>"
HELD = """() => ({
  rows: [...document.querySelectorAll("tr")].map(one => one.innerText.split("\\t").slice(0, 2).join(" ")),
  open: [...document.querySelectorAll("details[open]")].map(one => one.closest("tr").firstChild.innerText),
  selected: getSelection().toString(),
  kept: [...document.querySelectorAll("th")].filter(one => one.wasThere).map(one => one.innerText),
})"""


def table(**rows: str) -> str:
    body = "".join(ROW.format(name, said) for name, said in rows.items())
    return f'<div class="w-scroll"><table class="w-table"><tbody>{body}</tbody></table></div>'


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A table drawn once, its middle row selected by its name and its log opened."""
    found = chromium.new_page()
    found.set_content(f'<script>{STEADY}</script><div data-testid="stHtml"></div><div id="other"></div>')
    draw(found, table(load="0:01", train="0:02", test="0:03"))
    found.evaluate(
        """() => {
          document.querySelectorAll("th").forEach(one => one.wasThere = true);
          const row = document.querySelectorAll("tr")[1];
          row.querySelector("summary").click();
          getSelection().selectAllChildren(row.querySelector("th"));
        }"""
    )
    yield found
    found.close()


def draw(page: Page, html: str, where: str = "[data-testid=stHtml]") -> None:
    page.evaluate("([where, html]) => { document.querySelector(where).innerHTML = html; }", [where, html])


@pytest.mark.parametrize(
    "rows",
    [
        {"load": "0:01", "train": "0:09", "test": "0:03"},
        {"load": "0:04", "train": "0:09", "test": "0:08"},
        {"first": "0:00", "load": "0:01", "train": "0:02", "test": "0:03"},
        {"train": "0:02", "test": "0:03"},
        {"load": "0:01", "train": "0:09", "test": "0:03", "last": "0:00"},
    ],
    ids=["another age", "every age", "one before", "one less", "one after"],
)
def test_what_is_open_and_selected_stays_so(page: Page, rows: dict[str, str]) -> None:
    draw(page, table(**rows))
    held = page.evaluate(HELD)
    assert held["rows"] == [f"{name} {said}" for name, said in rows.items()], "the new is shown"
    assert (held["open"], held["selected"]) == (["train"], "train")
    assert "train" in held["kept"]


def test_attributes_are_those_of_the_new(page: Page) -> None:
    draw(page, table(load="0:01").replace('class="w-table"', 'class="w-table w-cards" title="new"'))
    draw(page, table(load="0:02").replace('class="w-table"', 'id="now"'))
    told = page.evaluate("document.querySelector('table').outerHTML.split('>')[0]")
    assert told == '<table id="now"'


def test_other_elements_and_other_pages_begin_anew(page: Page) -> None:
    draw(page, "<p>one</p>", "#other")
    page.evaluate("document.querySelector('#other p').wasThere = true")
    draw(page, "<p>two</p>", "#other")
    assert page.evaluate("document.querySelector('#other p').wasThere") is None
    page.evaluate("document.querySelector('[data-testid=stHtml]').drawnOn = '/the-page-before'")
    draw(page, table(load="0:01", train="0:02", test="0:03"))
    held = page.evaluate(HELD)
    assert (held["open"], held["kept"]) == ([], [])


def test_an_element_can_be_emptied(page: Page) -> None:
    draw(page, "")
    assert page.evaluate("document.querySelector('[data-testid=stHtml]').childNodes.length") == 0
