"""Systems outside have their say: each reports pass or fail for exactly this revision of the change.

What every account reports is kept, and the worst of it counts: who reports first locks nobody out. The pass of an
account that is disabled by now, or whose owner is, is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator
from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from backend.database.session import ReadSession
from backend.governance.gates import Asked, Finding, Gate, Parameters, Verdict, register
from backend.governance.tables import ExternalCheck
from backend.identity.tables import Person

CheckName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]


class Settings(Parameters):
    WORDS: ClassVar = {
        "checks": "checks: {value}", "reporters": "reported by accounts: {value}", "ask": "asked by signed requests",
        "wait_s": "an answer within {value} s",
    }  # fmt: skip
    # who has to report; a name that a system chose for itself
    checks: tuple[CheckName, ...] = Field(("ci",), min_length=1)
    # check -> names of the service accounts that alone may report it
    reporters: dict[CheckName, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    ask: bool = False  # by signed requests to WARRANT_GATE_URL; else they report by themselves
    wait_s: float = Field(300.0, gt=0, le=3600)  # for an answer; then it is inconclusive

    @model_validator(mode="after")
    def _reporters_report_what_is_asked(self) -> Settings:
        unasked = sorted(set(self.reporters) - set(self.checks))
        if unasked:
            raise ValueError(f"reporters name {', '.join(unasked)}, which is none of the checks")
        return self


def check(asked: Asked, settings: Settings) -> Finding:
    if asked.change_id is None:
        return Finding("inconclusive", "systems outside report on changes, and this is none")
    found = reports_on(asked.session, asked.change_id, asked.revision)
    every = {name: found[name] for name in settings.checks if name in found}
    missing = [name for name in settings.checks if name not in found]
    said = [_told(asked.session, name, reports) for name, reports in every.items()]
    if missing:
        said.append(
            f"{', '.join(missing)} has not reported on revision {asked.revision} of CHG-{asked.change_id} yet"
        )
    verdicts = {verdict_of(reports) for reports in every.values()}
    return Finding(
        "fail" if "fail" in verdicts else "pass" if verdicts == {"pass"} and not missing else "inconclusive",
        "; ".join(said),
        data_until=max((one.reported_at for reports in every.values() for one in reports), default=None),
        details={name: [_kept(one) for one in reports] for name, reports in every.items()},
    )


def reports_on(session: ReadSession, change_id: int, revision: int) -> dict[str, list[ExternalCheck]]:
    """Check -> every report of it on this revision that counts, each account's last one, in the order in which they
    came."""
    found: dict[str, list[ExternalCheck]] = {}
    owner = aliased(Person)
    gone = Person.disabled_at.is_not(None) | owner.disabled_at.is_not(None)
    rows = (
        select(ExternalCheck, func.coalesce(gone, False))
        .outerjoin(Person, Person.id == ExternalCheck.reported_by)
        .outerjoin(owner, owner.id == Person.owner_id)
        .where(ExternalCheck.change_id == change_id, ExternalCheck.revision == revision)
        .order_by(ExternalCheck.id)
    )
    for one, is_gone in session.execute(rows):
        if not (is_gone and one.verdict == "pass"):
            found.setdefault(one.name, []).append(one)
    return found


def verdict_of(reports: Sequence[ExternalCheck]) -> Verdict:
    """The worst that any account said of a check: nobody's pass takes away what another one found. That a system which
    was asked gave no answer says nothing against the reports there are."""
    return worst(one.verdict for one in reports)


def worst(verdicts: Iterable[str]) -> Verdict:
    """`verdict_of`, by the verdicts."""
    said = set(verdicts)
    return "fail" if "fail" in said else "pass" if said - {"unanswered"} == {"pass"} else "inconclusive"


def _told(session: ReadSession, name: str, reports: Sequence[ExternalCheck]) -> str:
    if len(reports) == 1:
        return f"{name}: {reports[0].text or reports[0].verdict}"
    every = []
    for one in reports:
        by = session.get(Person, one.reported_by) if one.reported_by is not None else None
        who = by.username if by is not None else "the system that was asked"
        every.append(f"{one.verdict} by {who}" + (f" ({one.text})" if one.text else ""))
    return f"{name}: {', '.join(every)}"


def _kept(one: ExternalCheck) -> dict[str, Any]:
    return {"verdict": one.verdict, "url": one.url, "reported_by": one.reported_by}


GATE = register(
    Gate(
        "external",
        "External check",
        "Systems outside, such as a CI, reported that their own check passed for this revision of the change.",
        Settings,
        check,
    )
)
