"""Evaluating the gates of a change that was sent, and who flips: the evidence that needs both versions to score."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from backend import clock
from backend.database.session import ReadSession, reading, writing
from backend.errors import WarrantError
from backend.explain.differences import compare_explanations
from backend.governance import outside
from backend.governance.external_checks import with_reports
from backend.governance.flips import count_flips, unknown_flips
from backend.governance.gates import Asked, evaluate, unanswered
from backend.governance.group_rates import compare_groups, unknown_groups
from backend.governance.live_facts import decisions_a_day
from backend.governance.policy_rules import GateRule
from backend.governance.same_rows import compare_rows, risk_a_day, unknown_comparison
from backend.governance.settling import settle_gates
from backend.governance.tables import Change
from backend.identity.actor import system_actor
from backend.monitoring.columns import parse_spec
from backend.queue import CHECK_GATES
from backend.registry.tables import Model, Version
from jobs.paired_rows import score_rows
from jobs.runtime import Run, workflow

STEPS = ("ask_outside", "evaluate_gates", "await_outside", "settle_gates")

ACTOR = system_actor("worker")
OUTSIDE_POLL_S: Final = 1.0

log = logging.getLogger("warrant.jobs")


@workflow(CHECK_GATES)
def check_gates(run: Run) -> None:
    """One revision of one change; a revision that was overtaken meanwhile is left alone."""
    change_id, revision = int(run.arguments["change_id"]), int(run.arguments["revision"])
    asked_at = run.step("ask_outside", ask_outside, run, change_id, revision)
    run.progress(0.1, "evaluating gates")
    found = run.step("evaluate_gates", evaluate_gates, change_id, revision)
    if found is None:
        run.progress(1.0, "the change no longer waits for these gates")
        return
    if asked_at is not None:
        run.progress(0.6, "waiting for systems outside")
        run.step("await_outside", await_outside, run, change_id, revision, asked_at)
    run.progress(0.9, "keeping what they found")
    run.step("settle_gates", _settle, run, change_id, revision, found)


def ask_outside(run: Run, change_id: int, revision: int) -> str | None:
    """Ask each system outside that the rule names, before the other gates are looked at; gives when that was."""
    questions = _questions(change_id, revision)
    to = outside.sender()
    for question in questions if to is not None else ():
        run.require_owned()
        problem = outside.ask(to, question) if to is not None else ""
        if problem:
            log.warning("%s is not asked yet: %s", question.key, problem)
    return clock.to_iso(clock.now()) if questions else None


def await_outside(run: Run, change_id: int, revision: int, asked_at: str) -> dict[str, str]:
    """Poll until each has answered, or its time since `asked_at` is over; gives the verdicts, which are kept."""
    questions, to = _questions(change_id, revision), outside.sender()
    waited_since, problem = clock.from_iso(asked_at), ""
    verdicts: dict[str, str] = {}
    while questions:
        answers: list[outside.Answer] = []
        for question in questions:
            run.require_owned()
            found = None
            try:
                found = outside.answer_to(to, question) if to is not None else None
            except WarrantError as error:
                problem = error.message
            if to is None:
                why = "WARRANT_GATE_URL and WARRANT_GATE_SECRET say whom to ask; they are not set"
                found = outside.Answer(question.check, outside.UNANSWERED, why)
            elif found is None and (clock.now() - waited_since).total_seconds() >= question.wait_s:
                why = f"no answer within {question.wait_s:g} s" + (f": {problem}" if problem else "")
                found = outside.Answer(question.check, outside.UNANSWERED, why)
            answers += [found] if found is not None else []
        with writing() as session:
            run.require_owned(session)
            outside.keep_answers(session, ACTOR, change_id, revision=revision, answers=answers)
        verdicts |= {one.check: one.verdict for one in answers}
        questions = _questions(change_id, revision)
        if questions:
            time.sleep(OUTSIDE_POLL_S)
    return verdicts


def _questions(change_id: int, revision: int) -> list[outside.Question]:
    """What has no answer yet; nothing where this revision no longer waits for gates."""
    with reading() as session:
        change = session.get_one(Change, change_id)
        waits = change.state == "checking" and change.revision == revision
        return outside.questions_of(session, change) if waits else []


def evaluate_gates(change_id: int, revision: int) -> dict[str, Any] | None:
    """Results of every gate of the rule, who flips, how groups fare; None where this revision waits for none of it."""
    with reading() as session:
        change = session.get_one(Change, change_id)
        if change.state != "checking" or change.revision != revision:
            return None
        rules = [GateRule.model_validate(rule) for rule in change.policy["gates"]]
        if change.model is None or change.to_version is None:
            why = f"a change of kind {change.kind} names no version that a gate could look at"
            return {
                "results": [unanswered(rule, why).as_dict() for rule in rules],
                "flips": None,
                "measured": {},
            }
        asked = _asked(session, change)
        session.expunge_all()  # scoring takes a while: no transaction is held open meanwhile
    scored = score_rows(
        asked.spec, asked.environment, before=asked.before, before_cutoff=asked.before_cutoff, after=asked.after,
        after_cutoff=asked.after_cutoff, allow=_allowed(rules),
    )  # fmt: skip
    with reading() as session:
        asked = replace(
            asked, session=session, rows=scored.pairs, rows_missing=scored.missing, answers=scored.answers,
            answers_not=scored.answers_not,
        )  # fmt: skip
        return {
            "results": [evaluate(rule, asked).as_dict() for rule in rules],
            **_measured(asked, scored.reasons),
        }


def _asked(session: ReadSession, change: Change) -> Asked:
    model = session.get_one(Model, change.model)
    before = session.get(Version, (change.model, change.from_version)) if change.from_version else None
    after = session.get_one(Version, (change.model, change.to_version))
    return Asked(
        session=session, model=model, spec=parse_spec(model.spec), environment=change.environment, before=before,
        before_cutoff=change.from_cutoff, after=after,
        after_cutoff=after.cutoff if change.to_cutoff is None else change.to_cutoff,
        change_id=change.id, revision=change.revision,
    )  # fmt: skip


def _allowed(rules: list[GateRule]) -> tuple[str, ...]:
    """The modules that the policy lets a model file import."""
    named = [rule.parameters.get("allow", ()) for rule in rules if rule.gate == "artefact_scanned"]
    return tuple(str(module) for modules in named for module in modules)


def _measured(asked: Asked, reasons: dict[str, Any] | None) -> dict[str, Any]:
    """Who flips, metrics on the same rows and what is at risk, or why that is not known: it never stands in the way of
    the gates."""
    flips, compared = unknown_flips(asked.rows_missing), unknown_comparison(asked.rows_missing)
    groups = unknown_groups(asked.rows_missing)
    rows = asked.rows
    if rows is not None:
        flips = _tried(lambda: count_flips(asked.spec, rows, reasons=reasons), unknown_flips)
        compared = _tried(lambda: compare_rows(asked.spec, rows), unknown_comparison)
        groups = _tried(lambda: compare_groups(asked.spec, rows), unknown_groups)
    a_day = decisions_a_day(asked.session, asked.spec, asked.model.name, asked.environment)
    at_risk = risk_a_day(asked.spec, compared, flips, a_day=a_day)
    explained = compare_explanations(
        asked.session, asked.model.name, asked.before.version if asked.before else None, asked.after.version
    )
    return {
        "flips": flips,
        "measured": {"same_rows": compared, "groups": groups, "at_risk": at_risk, "explanations": explained},
    }


def _tried(measure: Callable[[], dict[str, Any]], unknown: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    try:
        return measure()
    except Exception as error:  # noqa: BLE001 - labels of a store may be anything
        return unknown(f"the rows could not be compared: {type(error).__name__}: {error}")


def _settle(run: Run, change_id: int, revision: int, found: dict[str, Any]) -> None:
    with writing() as session:
        run.require_owned(session)
        change = session.get_one(Change, change_id, with_for_update=True)
        if change.revision != revision:
            return
        # A report may have come while the other gates were evaluated.
        results = with_reports(session, change, found["results"])
        settle_gates(session, ACTOR, change_id, revision=revision, results=results, flips=found["flips"],
                     measured=found.get("measured"))  # fmt: skip
