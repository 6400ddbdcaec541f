"""Our own pages: complete without JavaScript, nothing loaded from elsewhere, every value escaped."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jinja2 import UndefinedError

from app.templates import render

PAGES: dict[str, dict[str, Any]] = {
    "signin.html": {
        "csrf": "c",
        "next_path": "/",
        "error": None,
        "passwords": True,
        "providers": [{"name": "single sign-on", "url": "/oidc/start"}],
        "accounts": [{"name": "lead", "password": "p", "role": "ML lead"}],
    },
    "again.html": {
        "csrf": "c",
        "next_path": "/c/1",
        "error": None,
        "who": "Ada",
        "minutes": 10,
        "has_password": True,
        "oidc_url": "/oidc/start?again=true",
        "oidc_name": "single sign-on",
    },
    "setup.html": {"csrf": "c", "token": "t", "error": "The link has been used."},
    "error.html": {
        "status": 403,
        "title": "Not allowed",
        "message": "m",
        "back_path": "/",
        "back_label": "Back",
    },
}


@pytest.mark.parametrize("name", PAGES)
def test_page_needs_no_script_and_no_other_request(name: str) -> None:
    page = render(name, **PAGES[name])
    assert "<script" not in page and " on" not in re.sub(r">[^<]*<", "><", page).replace(" one", "")
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert "@import" not in page
    assert 'lang="en"' in page and 'name="viewport"' in page and "color-scheme" in page


@pytest.mark.parametrize("name", ["signin.html", "setup.html"])
def test_every_visible_input_has_a_label_and_the_form_a_token(name: str) -> None:
    page = render(name, **PAGES[name])
    inputs = re.findall(r"<input ([^>]*)>", page)
    visible = [re.search(r'id="(\w+)"', i).group(1) for i in inputs if "hidden" not in i]  # type: ignore[union-attr]
    assert visible
    assert all(f'<label for="{name}"' in page for name in visible)
    assert 'name="csrf" value="c"' in page
    assert 'method="post"' in page


def test_the_page_after_signing_out_leads_on_without_a_script() -> None:
    page = render("signed_out.html", provider="<b>Corp</b>", url='https://sso.example/end?a=1&b="2')
    assert 'content="1; url=https://sso.example/end?a=1&amp;b=&#34;2"' in page
    assert "<b>" not in page and "<script" not in page


def test_values_are_escaped() -> None:
    nasty = '"><script>alert(1)</script>'
    page = render("signin.html", **{**PAGES["signin.html"], "next_path": nasty, "error": nasty})
    assert "<script" not in page


def test_demo_accounts_show_only_when_given() -> None:
    assert "Demo mode" in render("signin.html", **PAGES["signin.html"])
    assert "Demo mode" not in render("signin.html", **{**PAGES["signin.html"], "accounts": []})


def test_a_forgotten_value_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("error.html", status=500)
