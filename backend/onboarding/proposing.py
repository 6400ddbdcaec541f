"""A first document from a file of predictions: nothing is taken for granted, each value says why, a person confirms.

No database is asked. What cannot be told from the data (owner, risk tier, what the model is for) is left open and said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backend import clock
from backend.errors import BadInput
from backend.monitoring.columns import MIN_ROWS
from backend.monitoring.proposals import Proposal, draw_sample, propose_columns
from backend.monitoring.spec_fields import RESERVED as SPEC_RESERVED
from backend.observations.schema import RESERVED as STORE_RESERVED
from backend.onboarding.document import VERSION
from backend.onboarding.roles import Role, Seen, find_roles, read_seen
from backend.onboarding.source_files import open_rows, telling_of_file, time_in
from backend.onboarding.writing import Proposed, write_document

if TYPE_CHECKING:
    import duckdb

REFERENCE_PART: Final = 0.6
FEWEST_LEVELS, MOST_LEVELS, MOST_SEGMENTS = 2, 20, 2
WATCHED_FOR_MISSING: Final = 3
UNREADABLE: Final = {"id": r"identifier|running number", "time": r"times", "text": r"."}
PRIMARY: Final = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "mae"}
NOT_TOLD: Final = "the data do not tell"


@dataclass
class Draft:
    """A document that is proposed, and why: `text` is the file to look through, edit and apply."""

    document: dict[str, Any] = field(default_factory=dict)
    proposals: list[Proposed] = field(default_factory=list)

    @property
    def text(self) -> str:
        return write_document(self.document, self.proposals)

    def because(self, path: tuple[str | int, ...], value: Any, confidence: float, reason: str) -> Any:
        self.proposals.append(Proposed(path, value, confidence, reason))
        return value


@dataclass(frozen=True)
class _Found:
    """What is known of the rows before anything is proposed."""

    table: Any
    seen: Mapping[str, Seen]
    rows: int
    roles: Mapping[str, Role]
    columns: tuple[Proposal, ...]

    @property
    def first(self) -> datetime:
        return moment_of(self.seen[self.roles["ts"].column].low)

    @property
    def last(self) -> datetime:
        return moment_of(self.seen[self.roles["ts"].column].high)


@telling_of_file
def propose_document(
    path: Path, *, shown_as: str = "", name: str = "", columns: Mapping[str, str] | None = None
) -> Draft:
    """A draft for the model whose predictions `path` holds.

    shown_as  the path as the document says it; columns: role to column, where a person names it

    Raises `BadInput` for a file that cannot be read, and where nothing looks like a time or a prediction.
    """
    table = open_rows(path)
    seen, rows = read_seen(table)
    if not rows:
        raise BadInput(f"{path.name} has no rows")
    roles = find_roles(table, columns or {}, seen, rows)
    found = _Found(table, seen, rows, roles, propose_columns(table, draw_sample(table)))
    name = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-._") or "model"
    draft = Draft()
    draft.document |= {"apiVersion": VERSION, "kind": "Model", "model": _model(draft, name)}
    draft.document["spec"] = spec = _spec(draft, found)
    draft.document["monitors"] = _monitors(draft, found, spec)
    if "label" in roles:
        draft.document["objectives"] = _objectives(draft, name, spec)
    draft.document["tier_answers"] = _questions(draft)
    draft.document["version"] = _version(draft, found)
    draft.document["history"] = _history(draft, found, shown_as or path.name, spec)
    draft.document["card"] = blank_card(name)
    draft.because(
        ("card",), "", 0.0, "a skeleton: what it is for, and what it must not be used for, is for people"
    )
    return draft


def _model(draft: Draft, name: str) -> dict[str, Any]:
    return {
        "name": draft.because(("model", "name"), name, 0.5, "as the file is called"),
        "title": name.replace("-", " ").replace("_", " ").capitalize(),
        "description": "",
        "owner": draft.because(("model", "owner"), None, 0.0, f"{NOT_TOLD}; the user name of a person"),
        "tier": draft.because(
            ("model", "tier"),
            "high",
            0.0,
            "unanswered, and unknown counts as high; answer tier_answers, then set it",
        ),
    }


def _spec(draft: Draft, found: _Found) -> dict[str, Any]:
    task = draft.because(("spec", "task"), *_task(found))
    spec: dict[str, Any] = {"task": task, "features": _features(draft, found)}
    window, live, confidence, reason = _window(found)
    spec["window"] = draft.because(("spec", "window"), window, confidence, reason)
    if live:
        told = "so many rows that an hour can be judged, too"
        spec["live_window"] = draft.because(("spec", "live_window"), live, 0.7, told)
    segments = _segments(found, spec["features"])
    if segments:
        told = f"categories with {FEWEST_LEVELS} to {MOST_LEVELS} values; name those by which somebody is responsible"
        spec["segments"] = draft.because(("spec", "segments"), segments, 0.4, told)
    return spec


def _task(found: _Found) -> tuple[str, float, str]:
    role = found.roles.get("label") or found.roles.get("prediction")
    if role is None:
        return "binary", 0.6, "there is a score and nothing else"
    one = found.seen[role.column]
    if one.group == "truth" or (
        one.distinct == 2 and str(one.low) in ("0", "0.0") and str(one.high) in ("1", "1.0")
    ):
        return "binary", 0.95, f"{role.column} is 0 or 1"
    if one.group == "text" or (one.group == "whole" and one.distinct <= 10):
        return "multiclass", 0.8, f"{role.column} has {one.distinct:,} distinct values"
    return "regression", 0.9, f"{role.column} holds numbers from {one.low:g} to {one.high:g}"


def _features(draft: Draft, found: _Found) -> dict[str, str]:
    taken = {one.column for one in found.roles.values()}
    reserved = {name.casefold() for name in SPEC_RESERVED | STORE_RESERVED}
    features: dict[str, str] = {}
    for one in found.columns:
        if one.name in taken:
            continue
        if one.name.casefold() in reserved or not one.name.strip():
            told = f"{one.name!r} is left out: the observation store has a column of this name; rename it to watch it"
            draft.because(("spec", "features"), None, 1.0, told)
            continue
        unreadable = (word for word, said in UNREADABLE.items() if re.search(said, one.reason))
        kind: str = one.kind or next(unreadable, "text")
        features[one.name] = draft.because(("spec", "features", one.name), kind, one.confidence, one.reason)
    if not any(kind in ("numeric", "categorical") for kind in features.values()):
        raise BadInput(
            "no column is left that could be a feature: beside time, prediction and label there is nothing"
        )
    return features


def _window(found: _Found) -> tuple[str, str, float, str]:
    days = max((found.last - found.first) / timedelta(days=1), 1.0)
    a_day = found.rows / days
    told = f"about {a_day:,.0f} rows a day; a window needs {MIN_ROWS}"
    if a_day >= 2 * MIN_ROWS:
        return "1d", "1h" if a_day >= 48 * MIN_ROWS else "", 0.8, told
    if 7 * a_day >= 2 * MIN_ROWS:
        return "1w", "", 0.8, told
    return "1mo", "", 0.7 if 30 * a_day >= MIN_ROWS else 0.3, told


def _segments(found: _Found, features: Mapping[str, str]) -> list[str]:
    fitting = [
        one
        for one in found.columns
        if features.get(one.name) == "categorical" and FEWEST_LEVELS <= one.distinct <= MOST_LEVELS
    ]
    return [one.name for one in sorted(fitting, key=lambda one: -one.confidence)[:MOST_SEGMENTS]]


def _monitors(draft: Draft, found: _Found, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Drift, quality, performance and volume are watched without any; these say what nobody should have to wait for."""
    complete = [
        one.name
        for one in found.columns
        if spec["features"].get(one.name) in ("numeric", "categorical")
        and found.seen[one.name].known == found.rows
    ][:WATCHED_FOR_MISSING]
    made: list[dict[str, Any]] = []
    for column in complete:
        threshold = {"kind": "constant", "side": "above", "value": 0.05}
        when = {"kind": "quality", "column": column, "statistic": "missing_rate", "threshold": threshold}
        made.append({"name": f"{column} is missing", "level": "ticket", "when": when})
        draft.because(
            ("monitors", len(made) - 1), column, 0.5, f"{column} was never missing in {found.rows:,} rows"
        )
    return made


def _objectives(draft: Draft, name: str, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    from backend.settings import settings
    from backend.slo.objectives import Objective, Quality, default_minimum_events, default_rows
    from backend.slo.openslo_writing import openslo_of
    from backend.slo.windows import Rolling

    metric = PRIMARY[spec["task"]]
    sli = Quality(metric, points="realised", size=spec["window"])
    objective = Objective(
        name=f"{_plain(name)}-{metric.replace('_', '-')}", model=name, environment=settings().environment,
        title="Performance keeps to its limit", sli=sli, target=Decimal("0.9"), window=Rolling(28 * 24),
        rows=default_rows(sli.kind), minimum_events=default_minimum_events(sli.kind),
    )  # fmt: skip
    told = (
        "nine of ten windows of 28 days within the limit that follows from the reference; set what users need"
    )
    draft.because(("objectives", 0), metric, 0.4, told)
    return [openslo_of(objective)]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "model"


def _questions(draft: Draft) -> dict[str, None]:
    from backend.assurance.questionnaire import BUILT_IN, read_questionnaire

    asked = read_questionnaire(BUILT_IN.read_text(encoding="utf-8")).questions
    for one in asked:
        options = ", ".join(f"{option.id} ({option.text})" for option in one.options)
        draft.because(("tier_answers", one.id), None, 0.0, f"unanswered. {one.text} {options}")
    return {one.id: None for one in asked}


def _version(draft: Draft, found: _Found) -> dict[str, Any]:
    trained = found.first.replace(microsecond=0)
    told = f"{NOT_TOLD}; not later than the first prediction"
    return {
        "number": draft.because(
            ("version", "number"), 1, 0.5, f"{NOT_TOLD}; the number that your registry has"
        ),
        "trained_at": draft.because(("version", "trained_at"), trained, 0.2, told),
        "trained_by": draft.because(
            ("version", "trained_by"),
            None,
            0.0,
            f"{NOT_TOLD}; a user name, else whoever applies this counts as it",
        ),
        "data_owner": draft.because(("version", "data_owner"), None, 0.0, f"{NOT_TOLD}; a user name"),
    }


def _history(draft: Draft, found: _Found, shown_as: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    for role, one in found.roles.items():
        draft.because(("history", "columns", role), one.column, one.confidence, one.reason)
    columns = {role: one.column for role, one in found.roles.items()}
    if "prediction_id" not in columns:
        told = (
            "no column names single rows; a row is known by its number in the file, which then must only grow"
        )
        draft.because(("history", "columns"), None, 0.6, told)
    if "label" not in columns:
        told = (
            "no column looks like a label: drift and quality are computed, performance once labels are sent"
        )
        draft.because(("history", "columns"), None, 0.5, told)
    until, share = _reference_end(found)
    told = f"the first {share:.0%} of the rows, to the end of a day; take a time in which the model did well"
    draft.because(("history", "reference", "until"), until, 0.5, told)
    draft.because(
        ("history", "path"), shown_as, 1.0, "from a folder that WARRANT_SOURCE_FOLDERS of the console names"
    )
    return {"path": shown_as, "timezone": "UTC", "columns": columns, "reference": {"until": until}}


def _reference_end(found: _Found) -> tuple[datetime, float]:
    table: duckdb.DuckDBPyRelation = found.table
    column = time_in(table, found.roles["ts"].column)
    place = table.query("source", f"select quantile_disc({column}, {REFERENCE_PART}) from source")  # noqa: S608
    end = moment_of(place.fetchall()[0][0])
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    end = midnight if midnight > found.first else end
    if end <= found.first:
        end = found.last
    literal = clock.to_iso(end)
    before = table.query(
        "source", f"select count(*) from source where cast({column} as timestamp) < timestamp '{literal[:19]}'"  # noqa: S608
    )  # fmt: skip
    return end, before.fetchall()[0][0] / found.rows


def blank_card(name: str) -> str:
    """Every heading of a card, left blank: each counts as a gap until somebody writes it."""
    from backend.cards.adoption import card_skeleton
    from backend.cards.document import GAP
    from backend.governance.yaml_text import write_yaml

    front = {"warrant": {"owner": GAP, "risk_tier": "{{ tier }}", "purpose": GAP}}
    return card_skeleton(name, write_yaml(front), {})


def moment_of(value: Any) -> datetime:
    """A time of a column in UTC; one without a zone is taken for UTC, which `history.timezone` may say otherwise."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise BadInput(f"the times of the predictions cannot be read: {value!r} is none", field="columns")
