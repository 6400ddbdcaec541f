"""Texts of others are drawn as text: by the one function that makes them so, wherever Markdown is drawn."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.plain_text import plain

ROOT = Path(__file__).parents[3]
# Streamlit draws the first argument, the label and the help of these as Markdown.
DRAWN = frozenset({
    "button", "caption", "checkbox", "error", "expander", "form_submit_button", "header", "info", "link_button",
    "markdown", "metric", "multiselect", "number_input", "pills", "popover", "radio", "segmented_control", "selectbox",
    "spinner", "status", "subheader", "success", "text_area", "text_input", "title", "toast", "toggle", "warning",
    "write",
})  # fmt: skip
OWN_WORDS = frozenset({"plain", "len", "count_of", "metric_word", "statistic_word"})  # and format_...
NUMBERS = frozenset({
    "allowed", "change_id", "from_version", "id", "index", "points", "rest", "to_version", "total", "used_by",
    "version",
})  # fmt: skip
# Links and a document that are Markdown on purpose; what of others is in them is made plain before.
ON_PURPOSE = (
    ".join(links)",
    "demoted(card.body",
    "{link}",
    "[The next {PAGE}]",
    ".join([*links",
    "for form in FORMS",
)


def drawn(path: Path) -> Iterator[ast.expr]:
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in DRAWN:
            yield from call.args[:1]
            yield from (one.value for one in call.keywords if one.arg in ("label", "help", "body"))


def is_plain(part: ast.expr) -> bool:
    match part:
        case ast.Constant():
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=name)):
            return str(name) in NUMBERS or (isinstance(part, ast.Name) and part.id.isupper())
        case ast.Call(func=ast.Name(id=name)):
            return name in OWN_WORDS or name.startswith("format_")
        case ast.Call(func=ast.Attribute(attr="lower", value=value)):
            return is_plain(value)
        case ast.Call(func=ast.Attribute(attr="replace"), args=[ast.Constant(value="`"), _]):
            return True  # stands between backticks
        case ast.BinOp(op=ast.Sub()):
            return True
        case ast.BinOp(left=left, right=right):
            return is_plain(left) and is_plain(right)
        case ast.IfExp(body=first, orelse=second):
            return is_plain(first) and is_plain(second)
        case ast.BoolOp(values=values):
            return all(is_plain(one) for one in values)
        case ast.JoinedStr(values=values):
            return all(
                isinstance(one, ast.Constant)
                or (isinstance(one, ast.FormattedValue) and (is_number(one) or is_plain(one.value)))
                for one in values
            )
    return False


def is_number(value: ast.FormattedValue) -> bool:
    return (
        value.format_spec is not None and re.search(r"[gfd%,]'?$", ast.unparse(value.format_spec)) is not None
    )


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("pages/*.py"), *ROOT.glob("app/**/*.py")]), ids=lambda path: path.stem
)
def test_everything_that_is_drawn_as_markdown_is_ours_or_made_plain(path: Path) -> None:
    open_ones = [ast.unparse(one) for one in drawn(path) if not is_plain(one)]
    assert [one for one in open_ones if not any(known in one for known in ON_PURPOSE)] == []


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("[click **here**](https://evil.example)", r"\[click \*\*here\*\*\](https://evil.example)"),
        ("![x](https://evil.example/x.png)", r"!\[x\](https://evil.example/x.png)"),
        ("$x^2$ ~~gone~~", r"\$x^2\$ \~\~gone\~\~"),
        ("<img src=x onerror=y> a < b", "&lt;img src=x onerror=y> a < b"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("# big\n- point\n1. one\n    code", "\\# big\n\\- point\n1\\. one\ncode"),
        ("a`b` `c", "a`b` \\`c"),
        ("_so_ snake_case", r"\_so\_ snake_case"),
        ("at 10:30:22, v1.2 -> https://h/x", "at 10:30:22, v1.2 -> https://h/x"),
    ],
)
def test_markup_is_shown_as_it_was_written(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


@pytest.mark.parametrize("hostile", [":smile:", ":red[x]", ":material/delete:", ":blue-background[x]"])
def test_icons_and_colours_are_no_shortcodes_any_more(hostile: str) -> None:
    made = plain(hostile)
    assert re.search(r":[\w+/-]+[:\[]", made) is None
    assert made.replace("\u2060", "").replace("\\", "") == hostile


def test_nothing_is_drawn_of_none() -> None:
    assert plain(None) == ""
