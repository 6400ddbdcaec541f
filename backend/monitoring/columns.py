"""What a model reads and how it is looked at: the spec a person writes, as one checked value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, cast

from backend.errors import BadInput
from backend.monitoring import spec_fields as fields
from backend.monitoring.spec_explanations import ExplanationRule, read_explanations, read_reason_codes
from backend.monitoring.spec_fairness import FairnessRule, read_fairness
from backend.monitoring.spec_fields import (
    KINDS,
    RESERVED,
    SIZES,
    TASKS,
    Budget,
    Column,
    Kind,
    ReferenceRule,
    Task,
)
from backend.monitoring.spec_retraining import RetrainingRule, read_retraining

__all__ = [
    "KINDS",
    "MIN_LABELS",
    "MIN_ROWS",
    "RESERVED",
    "SIZES",
    "TASKS",
    "Budget",
    "Column",
    "Kind",
    "ModelSpec",
    "ReferenceRule",
    "Task",
    "parse_spec",
]

BITS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
MIN_ROWS = 50
MIN_LABELS = 20
Tier = Literal["low", "medium", "high"]


@dataclass(frozen=True)
class ModelSpec:
    """How one model is monitored.

    window       "1h", "1d", "1w", "1mo", or a number of rows written as digits ("5000")
    excluded     columns the spec names and monitoring leaves alone, with the declared kind (id, text, time) as reason
    embeddings   columns that hold a vector each
    segments     features or protected columns by whose values everything is also looked at
    protected    columns for fairness; they need not be features
    fairness     within which bounds groups have to be treated alike, and from what size on
    favourable   binary: which decision is good for whom it is about, "positive" or "negative"; empty when not declared
    cutoff       binary: a score at or above it is the positive class
    positive     binary: the label and prediction that count as 1; None: 1, "1" or true
    classes      multiclass: column of each class's probability; empty where only the predicted class's is known
    quantile     regression: the quantile that `quantile_loss` is of
    costs        what a prediction is worth by (predicted class, true class), in the unit of `costs_unit`
    label_unit   regression: in what the label is measured ("min", "EUR"); empty when unknown
    min_rows     fewer rows in a window give *inconclusive*
    min_labels   fewer labelled rows give *inconclusive* performance
    quiet        hours of `timezone` in which no traffic is expected ("22:00-05:00"); None when unknown
    live_window  a second, shorter window by the clock ("1h"), computed for the last days only; None: there is none
    label_delay_s  how long after the prediction a label is normally known; None when unknown
    budget       false pages that are tolerated; thresholds follow from it
    reference    what windows are compared with
    rules        conditions across columns that every row should meet
    subject      the column that says whom a row is about; empty when none does
    pseudonymise  columns that are stored as pseudonyms
    retraining    how it is retrained, and what sets that off; None: nothing does by itself
    explanations  which predictions are explained by themselves; None: those that somebody asks for
    reason_codes  (feature, plain sentence): in what words a declined case is told why
    """

    task: Task
    features: tuple[Column, ...]
    window: str
    timezone: str = "UTC"
    protected: tuple[str, ...] = ()
    favourable: str = ""
    cutoff: float = 0.5
    min_rows: int = MIN_ROWS
    min_labels: int = MIN_LABELS
    quiet: str | None = None
    label_delay_s: float | None = None
    live_window: str | None = None
    excluded: tuple[tuple[str, str], ...] = ()
    embeddings: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    positive: str | None = None
    classes: tuple[tuple[str, str], ...] = ()
    quantile: float = 0.5
    costs: tuple[tuple[str, str, float], ...] = ()
    costs_unit: str = ""
    label_unit: str = ""
    tier: Tier = "medium"
    budget: Budget = field(default_factory=Budget)
    reference: ReferenceRule = field(default_factory=ReferenceRule)
    rules: tuple[str, ...] = ()
    subject: str = ""
    pseudonymise: tuple[str, ...] = ()
    retraining: RetrainingRule | None = None
    fairness: FairnessRule = field(default_factory=FairnessRule)
    explanations: ExplanationRule | None = None
    reason_codes: tuple[tuple[str, str], ...] = ()

    @property
    def kept_beside(self) -> tuple[str, ...]:
        """Columns that the model does not read and that are stored all the same, for the sake of whom the rows are
        about: ids, and what groups of people are compared by."""
        ids = {name for name, kind in self.excluded if kind == "id"}
        read = {column.name for column in self.features}
        kept = [name for name in (self.subject, *self.pseudonymise) if name in ids]
        return tuple(dict.fromkeys([*kept, *(name for name in self.protected if name not in read)]))

    @property
    def sizes(self) -> tuple[str, ...]:
        """The sizes of the windows that are computed: the trend's, and the shorter ones on-call looks at."""
        return (self.window,) if self.live_window is None else (self.window, self.live_window)

    @property
    def outputs(self) -> tuple[Column, ...]:
        """The model's own columns that are profiled like features."""
        if self.task == "regression":
            return (Column("prediction", "numeric"),)
        return (Column("score", "numeric"), Column("prediction", "categorical"))

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.features + self.outputs

    @property
    def window_rows(self) -> int | None:
        """The rows of a window when windows are counted, None when they follow the clock."""
        return int(self.window) if self.window.isdigit() else None


def is_positive_class(spec: ModelSpec, name: str) -> bool:
    """Whether a binary model's label or answer of this name is the positive class. Labels are often words, answers not:
    where `positive_label` is a word, 1 and 0 mean themselves, as in every figure."""
    said, wanted = name.strip().lower(), (spec.positive or "").strip().lower()
    if said in BITS and (spec.positive is None or not _is_amount(wanted)):
        return BITS[said]
    return spec.positive is not None and said == wanted


def _is_amount(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in BITS
    return True


@dataclass(frozen=True)
class _Written:
    """A spec, told from others by its digest: a model is asked for its spec in every read of it."""

    digest: str
    mapping: Mapping[str, Any] = field(compare=False)


def parse_spec(mapping: Mapping[str, Any]) -> ModelSpec:
    """Check a spec and return it as a value, kept for the next who asks with the same.

    Raises `BadInput` that names the key, what was found and what is accepted.
    Keys that monitoring does not read (owner, title, ...) are left to their readers.
    """
    # As Python writes it, not as JSON: the keys 1 and "1" are two.
    return _parsed(_Written(hashlib.sha256(repr(mapping).encode()).hexdigest(), mapping))


@lru_cache(maxsize=2048)
def _parsed(written: _Written) -> ModelSpec:
    mapping = written.mapping
    if not isinstance(mapping, Mapping):
        raise BadInput(f"the model spec must be a mapping of keys, not {type(mapping).__name__}")
    if not mapping:
        raise BadInput("the model is not described: register it with its task and features first")
    fields.refuse_misspelt(mapping)
    task = fields.one_of(mapping, "task", TASKS)
    declared = fields.read_features(mapping.get("features"))
    window = str(mapping.get("window", "1d"))
    if window not in SIZES and not (window.isdigit() and int(window) > 0):
        raise BadInput(f"window: {window!r} is not one of {', '.join(SIZES)} or a positive number of rows")
    protected = fields.names(mapping.get("protected", ()), "protected")
    watched = tuple(Column(name, kind) for name, kind in declared if kind in KINDS)
    if not watched:
        raise BadInput("features: no feature is numeric or categorical; there is nothing to monitor")
    positive = mapping.get("positive_label")
    rules = fields.names(mapping.get("rules", ()), "rules")
    spec = ModelSpec(
        task=cast(Task, task),
        features=watched,
        window=window,
        timezone=fields.timezone(mapping.get("timezone", "UTC")),
        protected=protected,
        favourable=fields.favourable(mapping.get("favourable"), task),
        cutoff=fields.share(mapping, "cutoff", 0.5),
        min_rows=fields.whole(mapping, "min_rows", MIN_ROWS),
        min_labels=fields.whole(mapping, "min_labels", mapping.get("min_rows", MIN_LABELS)),
        quiet=fields.quiet_hours(mapping.get("quiet")),
        label_delay_s=fields.delay(mapping.get("label_delay")),
        live_window=fields.live_window(mapping.get("live_window"), window),
        excluded=tuple((name, kind) for name, kind in declared if kind not in (*KINDS, "embedding")),
        embeddings=tuple(name for name, kind in declared if kind == "embedding"),
        segments=fields.segments(mapping.get("segments", ()), {c.name for c in watched} | set(protected)),
        positive=None if positive is None else str(positive),
        classes=fields.classes(mapping.get("classes")),
        quantile=fields.share(mapping, "quantile", 0.5),
        costs=fields.costs(mapping.get("costs")),
        costs_unit=str(mapping.get("costs_unit", "")),
        label_unit=str(mapping.get("label_unit") or ""),
        tier=cast(Tier, fields.one_of({"tier": mapping.get("tier", "medium")}, "tier", fields.TIERS)),
        budget=fields.budget(mapping.get("budget")),
        reference=fields.reference(mapping.get("reference")),
        rules=rules,
        subject=fields.subject(mapping.get("subject"), dict(declared)),
        pseudonymise=fields.pseudonymise(mapping.get("pseudonymise", ()), dict(declared)),
        retraining=read_retraining(mapping.get("retraining"), fields.delay),
        fairness=read_fairness(mapping.get("fairness"), protected, task),
        explanations=read_explanations(mapping.get("explanations")),
        reason_codes=read_reason_codes(
            mapping.get("reason_codes"),
            frozenset(one.name for one in watched),
            fields.favourable(mapping.get("favourable"), task),
        ),
    )
    if rules:
        from backend.monitoring.rules import parse_rules  # it reads `Column` from here

        parse_rules(rules, spec.columns)
    return spec
