"""Evidence packs as a table, what is being made, and the form that asks for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from markupsafe import Markup

from app.components.actions import Field, Submission, action_form
from app.components.assurance_actions import because, done
from app.components.code_block import copied_text
from app.components.links import href
from app.components.progress import job_progress
from app.components.status import empty_state
from app.components.tables import Cell, anchor, badge, lines, link, small, table
from app.formats import format_bytes
from app.session import viewer
from app.words import count_of
from backend.database.session import WriteSession
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.packs.scope import KINDS, moment_of
from backend.packs.service import request_pack

_STATES = {"made": "settled", "failed": "page", "forgotten": "unknown"}


def offer_pack(models: Sequence[str]) -> None:
    """Ask for a pack; what the address names is chosen already."""
    query = st.query_params
    why_not = because(Permission.MAKE_PACKS, "make evidence packs")
    kinds = list(KINDS)
    asked = query.get("kind", "")
    kind = st.radio(
        "A pack about", kinds, index=kinds.index(asked) if asked in kinds else 0, key="pack-kind",
        format_func=lambda one: KINDS[one].partition(":")[0],
    )  # fmt: skip
    fields = {
        "model": [Field("model", "Model", "select", required=True, options=models, value=query.get("model"))],
        "version": [Field("model", "Model", "select", required=True, options=models, value=query.get("model")),
                    Field("version", "Version, its number", required=True, value=query.get("version"), max_chars=10)],
        "change": [Field("change", "Change, its number", required=True, value=query.get("change"), max_chars=19)],
        "period": [Field("period", "Period: 2026Q3, 2026-07, 2026 or 2026-07-01..2026-09-30", required=True,
                         value=query.get("period"), max_chars=60),
                   Field("model", "Of one model", "select", required=actor_is_limited(), options=models)],
    }[kind]  # fmt: skip
    sent = action_form(
        f"pack-{kind}", label="Make the pack", object_id=kind, digest="new",
        fields=[*fields, Field("as_of", "As of, UTC: 2026-10-01T00:00:00Z. Empty: now", value=query.get("as_of"),
                               max_chars=40),
                Field("reason", "Why, for the record", "area", required=True)],
        disabled_because=why_not or (None if models else "No model is registered yet."),
    )  # fmt: skip
    done(sent, _ask, "Asked; a worker makes it.")
    st.caption(
        "A worker signs the log and makes one ZIP, of what you may see now. Until when it is kept stands beside it."
    )


def actor_is_limited() -> bool:
    return viewer().models_with(Permission.MAKE_PACKS) is not None


def _ask(session: WriteSession, me: Actor, form: Submission) -> Any:
    values = form.values
    return request_pack(
        session, me, kind=form.object_id, reason=values["reason"], model=values.get("model") or None,
        version=_number(values.get("version"), "version"), change=_number(values.get("change"), "change"),
        period=values.get("period") or "", as_of=moment_of(values.get("as_of")),
    )  # fmt: skip


def _number(text: str | None, field: str) -> int | None:
    if not text:
        return None
    bare = text.strip().upper().removeprefix("CHG-").removeprefix("V")
    if not (bare.isascii() and bare.isdigit() and len(bare) < 19):
        raise BadInput(f"the {field} is a number, not {text!r}", field=field)
    return int(bare)


def show_running(packs: Sequence[Mapping[str, Any]]) -> None:
    """How far each is that a worker has not finished."""
    for one in packs:
        job_progress(f"Pack about {one['about']}", one["state"], share=one["progress"], step=one["step"],
                     since=one["requested_at"])  # fmt: skip


def show_packs(packs: Sequence[Mapping[str, Any]]) -> None:
    """Newest first."""
    rows: list[list[Cell]] = [
        [
            lines(one["about"], small(one["environment"]), small(one["reason"])),
            lines(f"{one['as_of']:%Y-%m-%d %H:%M:%S} UTC",
                  small(f"asked {one['requested_at']:%Y-%m-%d %H:%M:%S} UTC by {one['requested_by']}")),
            _gaps(one),
            _file(one),
        ]
        for one in packs
    ]  # fmt: skip
    table(["About", "As of", "What is missing", "File"], rows, caption="Evidence packs, newest first")


def _gaps(one: Mapping[str, Any]) -> Cell:
    gaps = one["gaps"]
    if gaps is None:
        return small("not known yet")
    if not any(gaps.values()):
        return lines(badge("nothing found", "unknown"), small("of what is looked for"))
    grave = badge(f"{gaps['high']} grave", "page" if gaps["high"] else "ok")
    return lines(grave, small(f"{gaps['medium']} to mend, {gaps['low']} to note"))


def _file(one: Mapping[str, Any]) -> Cell:
    state = badge(one["state_words"], _STATES.get(one["state"], "unknown"))
    if one["state"] == "forgotten":
        return lines(state, small(one["forgotten_because"]), _again(one))
    if one["state"] != "made":
        return lines(state, small(one["error"] or one["step"]))
    entry = (
        anchor(f"entry {one['entry']}", "audit_entry", seq=one["entry"]) if one["entry"] is not None else None
    )
    if one["with_payloads"] and not viewer().may(Permission.READ_AUDIT_PAYLOAD):
        take: Cell = small("holds payloads of the log, which your role may not read")
    else:
        take = link(f"ZIP, {_size(one['bytes'])}", href(f"export/pack/{one['id']}.zip"))
    proof = link("proof of its making", href(f"export/pack/{one['id']}.made.json"))
    short = Markup('<span class="w-detail" title="{}">{}…</span>').format(one["digest"], one["digest"][:19])
    return lines(take, short, entry, proof, _until(one))


def _until(one: Mapping[str, Any]) -> Cell:
    words = f"kept until {one['kept_until']:%Y-%m-%d %H:%M:%S} UTC"
    return lines(
        small(f"{words}, and longer: a hold keeps it" if one["on_hold"] else words),
        small(one["kept_because"]),
    )


def _again(one: Mapping[str, Any]) -> Cell:
    """The form with what this pack was about: a new one is made from what the record holds now."""
    asked = {name: one[name] for name in ("kind", "model", "version", "change", "period") if one[name]}
    return anchor("make it again", "packs", as_of=f"{one['as_of']:%Y-%m-%dT%H:%M:%SZ}", **asked)


def _size(count: int) -> str:
    return format_bytes(count)


def how_to_verify(keys: Sequence[str]) -> None:
    """The two lines, and the key that has to come from elsewhere."""
    st.markdown(
        "The ZIP holds its own verifier, one file of Python that needs the package `cryptography` and nothing of "
        "Warrant. It says whether the pack is as it was made, and whether every proof in it leads to the signed log."
    )
    copied_text(
        "unzip -p PACK.zip verify_pack.py > verify_pack.py\n"
        "python verify_pack.py PACK.zip KEY --made PACK.made.json"
    )
    if keys:
        st.markdown(
            f"{count_of(len(keys), 'verifier key')} of this log. Give it to them on another way than the pack:"
        )
        copied_text(",".join(keys))
    else:
        empty_state("Nothing was signed yet", "A worker signs the first head of the log within five minutes.")
