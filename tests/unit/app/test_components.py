"""Building blocks draw states with word and shape, escape what they are given, and act on what was seen."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from streamlit.testing.v1 import AppTest

import app
from app.components.facts import diff_html, value_text
from app.components.links import href, when
from app.components.status import badge_html, prose
from app.components.tables import lines, long_text, name_link, small, table_html

MOMENT = datetime(2026, 3, 2, 8, 5, 9, tzinfo=UTC)


def test_a_time_says_utc_with_seconds_on_hovering() -> None:
    iso, utc = "2026-03-02T08:05:09.000000Z", "2026-03-02 08:05:09 UTC"
    shown = f'<time datetime="{iso}" title="{utc}">Mon 2 Mar 2026, 08:05 UTC</time>'
    assert when(MOMENT) == shown
    assert shown in table_html(("what", "when"), [["it", MOMENT]])
    assert shown in table_html(("what", "when"), [["it", lines(MOMENT, small("a while ago"))]])
    assert shown in small(when(MOMENT))


def approval_page() -> None:
    import streamlit as st

    from app.components import Field, action_form

    order = st.session_state.get("order", ["CHG-1", "CHG-2"])
    digests = st.session_state.get("digests", {"CHG-1": "aaa", "CHG-2": "bbb"})
    for change in order:
        sent = action_form(
            "approve",
            label=f"Approve {change}",
            object_id=change,
            digest=digests[change],
            fields=[Field("comment", "Comment", "area", required=True)],
        )
        if sent:
            st.session_state["sent"] = (sent.object_id, sent.digest, sent.values["comment"])


def opened() -> AppTest:
    return AppTest.from_function(approval_page, default_timeout=20).run()


def click(page: AppTest, label: str) -> AppTest:
    return next(b for b in page.button if b.label == label).click().run()


def sent(page: AppTest) -> tuple[str, str, str] | None:
    return page.session_state["sent"] if "sent" in page.session_state else None  # noqa: SIM401


def test_the_form_returns_id_digest_and_values() -> None:
    page = opened()
    page.text_area(key="approve:CHG-2:comment").input("read it")
    click(page, "Approve CHG-2")
    assert sent(page) == ("CHG-2", "bbb", "read it")


def test_a_resorted_inbox_does_not_move_the_click_to_another_change() -> None:
    page = opened()
    page.text_area(key="approve:CHG-1:comment").input("read it")
    page.session_state["order"] = ["CHG-2", "CHG-1"]
    click(page, "Approve CHG-1")
    assert sent(page) == ("CHG-1", "aaa", "read it")


def test_the_digest_sent_is_the_one_that_was_drawn_not_the_newest() -> None:
    page = opened()
    page.text_area(key="approve:CHG-1:comment").input("read it")
    page.session_state["digests"] = {"CHG-1": "changed", "CHG-2": "bbb"}
    click(page, "Approve CHG-1")
    assert sent(page) == ("CHG-1", "aaa", "read it")


def test_a_click_on_a_change_that_is_gone_does_nothing() -> None:
    page = opened()
    page.text_area(key="approve:CHG-1:comment").input("read it")
    page.session_state["order"] = ["CHG-2"]
    click(page, "Approve CHG-1")
    assert sent(page) is None


def test_missing_required_fields_are_asked_for() -> None:
    page = click(opened(), "Approve CHG-1")
    assert sent(page) is None
    assert "Comment" in page.error[0].value


def gallery() -> None:
    from datetime import UTC, datetime

    from app import components

    components.use_style()
    components.headline("1 of 2 models needs you", "page", detail="computed 40 s ago")
    components.banner("Dates are shifted by 13 years.", "injected", word="demo data")
    components.key_values({"rows": 41203, "owner": None, "since": datetime(2026, 3, 2, tzinfo=UTC)})
    components.diff_table({"auc": 0.64}, {"auc": 0.58})
    components.empty_state(
        "No alerts", "Nothing fired.", ("Open drift", components.href("drift", model="a b"))
    )
    components.job_progress("metrics", "running", share=0.4, step="window 4 of 10")
    components.job_progress("metrics", "failed", reason="<b>disk full</b>")


def test_every_block_draws() -> None:
    page = AppTest.from_function(gallery, default_timeout=20).run()
    assert not page.exception


def test_a_badge_has_word_and_shape_and_escapes() -> None:
    assert "■" in badge_html("fires <now>", "page")
    assert "fires &lt;now&gt;" in badge_html("fires <now>", "page")


def test_a_level_nobody_knows_is_drawn_as_unknown() -> None:
    assert "w-unknown" in badge_html("?", "greenish")


def test_the_difference_table_shows_what_differs_and_counts_the_rest() -> None:
    table = diff_html({"auc": 0.64, "rows": 10, "depth": 3}, {"auc": 0.58, "rows": 10, "note": "<i>"})
    assert "\u22120.060" in table
    assert "removed" in table and "added" in table and "&lt;i&gt;" in table
    assert "1 more are equal" in table
    digests = diff_html(
        {"digest": "sha256:" + "ab" * 32}, {"digest": "cd" * 32, "from": "2026-03-02T00:00:00+00:00"}
    )
    assert ">abababababab…<" in digests
    assert ">cdcdcdcdcdcd…<" in digests
    assert ">Mon 2 Mar 2026<" in digests
    assert "No difference in 1" in diff_html({"a": 1}, {"a": 1})


def test_values_read_as_words() -> None:
    assert [value_text(v) for v in (None, True, [], ["a", 1])] == ["–", "yes", "none", "a, 1"]


def test_addresses_quote_their_parameters_and_leave_out_unknown_ones() -> None:
    assert href("model", model="a&b", window=None) == "/model?model=a%26b"


def test_what_stands_between_backticks_reads_as_code_and_the_rest_stays_text() -> None:
    assert prose("run `warrant worker` <b>") == "run <code>warrant worker</code> &lt;b&gt;"
    assert prose("a ` alone <") == "a ` alone &lt;"
    assert str(small("`a` & b")) == '<span class="w-detail"><code>a</code> &amp; b</span>'


def sentences() -> None:
    from app import components
    from app.components.tables import open_point

    components.headline("no `champion`", "page", detail="run `warrant worker`")
    components.title("the page of `a`", detail="`b`")
    components.banner("`c`")
    components.empty_state("no `d`", "run `warrant demo load`")
    open_point("`e` is not known")


def test_no_block_shows_a_literal_backtick() -> None:
    page = AppTest.from_function(sentences, default_timeout=20).run()
    drawn = [block.proto.body for block in page.get("html")]
    assert len(drawn) == 5
    assert not [one for one in drawn if "`" in one or "<code>" not in one]


def test_a_name_that_is_linked_stays_in_one_piece() -> None:
    cell = str(name_link("taxi-fares/tier/<b>", "registry", about="taxi"))
    assert cell.startswith('<a class="w-name" href="/registry?about=taxi"') and "&lt;b&gt;" in cell
    css = (Path(app.__file__ or "").parent / "static" / "console.css").read_text()
    assert ".w-name { display: inline-block; width: max-content;" in css, "a hyphen or slash breaks no name"


def test_a_long_text_is_cut_and_can_be_read_whole() -> None:
    assert long_text("short <b>") == '<span class="w-long">short &lt;b&gt;</span>'
    endless = "x" * 4000
    drawn = long_text(endless)
    assert drawn.startswith('<details class="w-long"><summary>' + "x" * 240 + "…")
    assert endless in drawn
    assert "word… <u>" in long_text("word " * 400)
