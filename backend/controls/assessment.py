"""Holding a catalogue against the record: for every control what is there, what is not, and what was judged.

    found = assess(session, viewer, catalogue="eu-ai-act-annex-iv", model="flight-delay")
    found.rows()                      # one flat row per control, gaps first
    found.controls[0].answers         # each look at the record, with its reason and links

The evidence of a control is as good as the worst of its parts. What no query can show is a part too, so that such a
control is never better than `not_shown`, whatever else was found; a person's signed judgement stands beside it and
does not alter it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select

from backend import clock
from backend.controls.catalogues import Control, Look, catalogue_named
from backend.controls.evidence import (
    GAPS,
    STATES,
    Answer,
    Evidence,
    Question,
    State,
    evidence_digest,
    gravest,
)
from backend.controls.queries.changes import serving
from backend.controls.queries.registry import queries
from backend.controls.standing import Judged, judged_of
from backend.database.session import ReadSession
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.registry.inventory import require_known
from backend.registry.service import get_model
from backend.registry.tables import Version
from backend.settings import settings

LOG: Final = logging.getLogger(__name__)
_OF_THE_HOUSE: Final = "it is about the whole house: evidence of a period of the whole house tells it"


@dataclass(frozen=True)
class Assessed:
    """One control: what is asked, what was found, what was judged. `digest`: of the evidence that a judgement saw."""

    control: str
    title: str
    citation: str
    asks: str
    scope: str  # model | system
    state: State
    answers: tuple[Answer, ...]
    digest: str
    judged: Judged | None

    @property
    def is_gap(self) -> bool:
        """Something is missing or out of date, and no standing judgement answers for it; the record contradicts it,
        which a judgement that it does not apply answers for and none that it is met; or one says that it is not met."""
        judged = self.judged
        if (
            judged is not None and judged.outcome == "not_met"
        ):  # until somebody judges again, also when it is over
            return True
        standing = judged is not None and judged.standing
        if self.state == "contradicted":
            return not (standing and judged is not None and judged.outcome == "not_applicable")
        return self.state in GAPS and not standing

    @property
    def needs_judgement(self) -> bool:
        """Nothing here can show it, and nobody's standing judgement does."""
        return not self.is_gap and self.state != "present" and not (self.judged and self.judged.standing)

    @property
    def is_judged(self) -> bool:
        """Evidence alone does not show it, and a standing judgement answers for that."""
        return not self.is_gap and not self.needs_judgement and self.state != "present"

    @property
    def reason(self) -> str:
        """Why it is in its state: of the answers that made it so."""
        return "; ".join(one.evidence.reason for one in self.answers if one.evidence.state == self.state)

    def as_dict(self) -> dict[str, Any]:
        return {
            "control": self.control, "title": self.title, "citation": self.citation, "asks": self.asks,
            "scope": self.scope, "state": self.state, "state_words": STATES[self.state], "reason": self.reason,
            "gap": self.is_gap, "needs_judgement": self.needs_judgement, "digest": self.digest,
            "evidence": [one.as_dict() for one in self.answers],
            "judgement": self.judged.as_dict() if self.judged is not None else None,
        }  # fmt: skip


@dataclass(frozen=True)
class Lacking:
    """One look at the record that found a gap, and the citations of the controls whose gap it is."""

    answer: Answer
    controls: tuple[str, ...]


@dataclass(frozen=True)
class Assessment:
    """A catalogue held against the record at one moment. Controls: gaps first, then what is to be judged.

    model None: the controls of the house alone. `notes` say what could not be asked of that moment.
    """

    catalogue: str
    title: str
    source: str
    edition: str
    caveat: str
    catalogue_digest: str
    model: str | None
    version: int | None
    environment: str
    as_of: datetime
    is_now: bool
    controls: tuple[Assessed, ...]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[State, int]:
        """How many controls are in each state, the gravest first."""
        return {state: sum(one.state == state for one in self.controls) for state in STATES}

    @property
    def gaps(self) -> tuple[Assessed, ...]:
        return tuple(one for one in self.controls if one.is_gap)

    @property
    def lacking(self) -> tuple[Lacking, ...]:
        """What is missing, out of date or contradicted, each thing once: the gravest first, then what most ask for."""
        found: dict[tuple[str, str, str], tuple[Answer, list[str]]] = {}
        for one in self.gaps:
            for answer in one.answers:
                if answer.evidence.state in GAPS:
                    key = (answer.query, str(sorted(answer.parameters.items())), answer.evidence.reason)
                    found.setdefault(key, (answer, []))[1].append(one.citation)
        order = list(STATES)
        lacks = [Lacking(answer, tuple(controls)) for answer, controls in found.values()]
        return tuple(
            sorted(lacks, key=lambda one: (order.index(one.answer.evidence.state), -len(one.controls)))
        )

    def rows(self) -> list[dict[str, Any]]:
        """One flat row per control: text, numbers, booleans and None, for tables, CSV and the pack's PDF."""
        rows = []
        for one in self.controls:
            judged = one.judged
            rows.append({
                "control": one.control, "citation": one.citation, "title": one.title, "asks": one.asks,
                "scope": one.scope, "state": STATES[one.state], "reason": one.reason, "gap": one.is_gap,
                "needs_judgement": one.needs_judgement,
                "evidence": "; ".join(f"{a.title}: {STATES[a.evidence.state]}" for a in one.answers if a.query),
                "evidence_at": max((clock.to_iso(a.evidence.at) for a in one.answers if a.evidence.at), default=""),
                "links": "; ".join(f"{link.kind} {link.id}" for a in one.answers for link in a.evidence.links),
                "judgement": judged.outcome.replace("_", " ") if judged else "",
                "judged_by": judged.by if judged else "",
                "judged_at": clock.to_iso(judged.signed_at) if judged else "",
                "valid_until": clock.to_iso(judged.valid_until) if judged else "",
                "judgement_note": judged.note if judged else "",
                "judgement_text": judged.text if judged else "",
                "judgement_digest": judged.digest if judged else "",
                "attachment": (judged.attachment or "") if judged else "",
                "evidence_digest": one.digest,
            })  # fmt: skip
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "catalogue": self.catalogue, "title": self.title, "source": self.source, "edition": self.edition,
            "caveat": self.caveat, "catalogue_digest": self.catalogue_digest, "model": self.model,
            "version": self.version, "environment": self.environment, "as_of": clock.to_iso(self.as_of),
            "is_now": self.is_now, "counts": {STATES[state]: number for state, number in self.counts.items()},
            "gaps": len(self.gaps), "to_judge": sum(one.needs_judgement for one in self.controls),
            "notes": list(self.notes), "controls": [one.as_dict() for one in self.controls],
        }  # fmt: skip


def assess(
    session: ReadSession,
    actor: Actor,
    *,
    catalogue: str,
    model: str | None = None,
    version: int | None = None,
    as_of: datetime | None = None,
    environment: str | None = None,
    only: str | None = None,
    tell_house: bool = True,
) -> Assessment:
    """Hold a catalogue against the record, as far as the actor may see it.

    model    None: only the controls of the house; else those of the house and of the model
    version  the version that is meant; None: the one that served then, else the newest by then
    as_of    None: now. A query that cannot tell of that moment answers `not_shown`, and says so
    only     one control of the catalogue
    tell_house  False: for others to read, who may see this model and not the whole house. Judgements are compared with
             all that the actor may see, and what it says of the house is not told

    Needs the permission to read the log. Raises `NotFound` (catalogue, control, model, version), `BadInput` (a day to
    come).
    """
    see(session, actor, Permission.READ_AUDIT)
    held = catalogue_named(catalogue)
    now = clock.now()
    if as_of is not None and as_of > now:
        raise BadInput("the as-of date has not come yet", field="as_of")
    found = get_model(session, actor, model) if model is not None else None
    asked = Question(
        session, actor, found, None, environment or settings().environment, as_of or now, as_of is None
    )
    if found is not None:
        if version is not None:
            require_known(session, actor, found.name, version)
        asked = replace(asked, version=version if version is not None else _version_then(asked))
    house = replace(asked, model=None, version=None)
    wanted = (held.control(only),) if only is not None else held.controls
    controls = [
        _assessed(house if one.scope == "system" else asked, house, one, held.id)
        for one in wanted
        if found is not None or one.scope == "system"
    ]
    if not tell_house:
        controls = [_without_house(one) for one in controls]
    notes: tuple[str, ...] = ()
    if not asked.is_now:
        silent = {
            answer.title for one in controls for answer in one.answers
            if answer.query and queries()[answer.query].moment == "now"
        }  # fmt: skip
        if silent:
            notes = (f"Told of the present only, and so not shown here: {', '.join(sorted(silent))}.",)
    return Assessment(
        catalogue=held.id, title=held.title, source=held.source, edition=held.edition,
        catalogue_digest=held.digest, caveat=held.caveat, model=model, version=asked.version,
        environment=asked.environment, as_of=asked.at, is_now=asked.is_now,
        controls=tuple(sorted(controls, key=_order)), notes=notes,
    )  # fmt: skip


def _order(one: Assessed) -> tuple[bool, int, bool]:
    """Gaps first, the gravest of them first; then what is to be judged. Otherwise as the catalogue has it."""
    return not one.is_gap, list(STATES).index(one.state) if one.is_gap else 0, not one.needs_judgement


def _version_then(asked: Question) -> int | None:
    """The version that served at that moment, else the newest that was trained by then."""
    opened = serving(asked)
    if opened is not None:
        return opened.version
    return asked.session.scalar(
        select(func.max(Version.version)).where(Version.model == asked.name, Version.trained_at <= asked.at)
    )


def _assessed(asked: Question, house: Question, control: Control, catalogue: str) -> Assessed:
    answers = [_answer(asked, house, look) for look in control.evidence]
    if control.beyond.strip():
        said = " ".join(control.beyond.split())
        answers.append(Answer("", "What the record cannot show", {}, Evidence("not_shown", said)))
    digest = evidence_digest(control.digest, (one.seen for one in answers))
    return Assessed(
        control.id, control.title, control.citation, control.asks, control.scope,
        gravest(one.evidence.state for one in answers), tuple(answers), digest,
        judged_of(asked, control, catalogue, digest, answers),
    )  # fmt: skip


def _without_house(one: Assessed) -> Assessed:
    """The same control without what was answered or judged of the house. The log may be told of to each reader."""
    about = {"house"} if one.scope == "model" else {"house", "either"}
    hidden = [each for each in one.answers if each.query and queries()[each.query].about in about]
    answers = tuple(
        replace(each, evidence=Evidence("not_shown", _OF_THE_HOUSE)) if each in hidden else each
        for each in one.answers
    )
    judged = one.judged if one.scope == "model" else None
    if judged is not None and any(each.title in judged.note for each in hidden):
        judged = replace(judged, note="its evidence has changed since, also in what is of the whole house")
    return replace(
        one, state=gravest(each.evidence.state for each in answers), answers=answers, judged=judged
    )


def _answer(asked: Question, house: Question, look: Look) -> Answer:
    """What one query says. Whatever it raises is `not_shown`, with the reason: an error is never evidence."""
    found = queries()[look.query]
    whose = asked if found.about in ("model", "either") else house
    key = f"answer {look.query} {sorted(look.parameters.items())} {whose.model.name if whose.model else ''}"
    if key not in asked.known:
        if (
            found.about in ("house", "either")
            and whose.model is None
            and asked.viewer.models_with(Permission.READ_AUDIT) is not None
        ):
            evidence = Evidence("not_shown", "it is about the whole house, which is not yours to see")
        elif found.moment == "now" and not asked.is_now:
            evidence = Evidence(
                "not_shown", f"this can be told of the present only, not of {clock.to_words(asked.at)}"
            )
        else:
            try:
                evidence = found.look(whose, **look.parameters)
            except (NotAllowed, NotFound) as error:
                evidence = Evidence("not_shown", error.message)
            except Exception as error:
                LOG.exception("the query %s failed", look.query)
                evidence = Evidence("not_shown", f"it could not be asked: {type(error).__name__}")
        asked.known[key] = evidence
    return Answer(look.query, found.title_of(look.parameters), dict(look.parameters), asked.known[key])
