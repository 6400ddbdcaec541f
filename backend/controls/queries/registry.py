"""The registry of queries. A query is one small function that registers itself under the name catalogues use.

    @query("windows_fresh", "Monitored up to now", moment="any")
    def windows_fresh(asked: Question, *, max_age_days: float = 3) -> Evidence: ...

Its keyword arguments are its parameters: a catalogue's are checked against their names and types. `about` says of what
it speaks (`log`: the log as a whole, which each of its readers may check; `either`: a model, or the house), and
`moment` whether it can speak of a day that is over; one that cannot is never asked about such a day.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_type_hints

from backend.controls.evidence import Evidence

About = Literal["model", "house", "either", "log"]
Moment = Literal["any", "now"]
Look = Callable[..., Evidence]
NUMBERS: Final = (int, float)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a query. required: it has no default."""

    name: str
    kind: type
    required: bool
    default: Any = None


@dataclass(frozen=True)
class Query:
    """How to ask one thing of the record."""

    name: str
    title: str  # may hold {parameters}
    explanation: str
    about: About
    moment: Moment
    parameters: Mapping[str, Parameter]
    look: Look

    def title_of(self, parameters: Mapping[str, Any]) -> str:
        defaults = {one.name: one.default for one in self.parameters.values()}
        return self.title.format(**{**defaults, **parameters})

    def refusal_of(self, parameters: Mapping[str, Any]) -> str | None:
        """Why these parameters cannot be asked with; None where they can."""
        for name, value in parameters.items():
            known = self.parameters.get(name)
            if known is None:
                there = ", ".join(self.parameters) or "none"
                return f"{self.name} has no parameter {name!r}; there are: {there}"
            wanted = NUMBERS if known.kind in NUMBERS else (known.kind,)
            if not isinstance(value, wanted) or (isinstance(value, bool) and known.kind is not bool):
                return f"{self.name}.{name} is {value!r}; it takes {known.kind.__name__}"
            if isinstance(value, NUMBERS) and not isinstance(value, bool) and not value > 0:
                return f"{self.name}.{name} is {value!r}; it has to be above zero"
        missing = [
            one.name for one in self.parameters.values() if one.required and one.name not in parameters
        ]
        return f"{self.name} needs {', '.join(missing)}" if missing else None


_QUERIES: Final[dict[str, Query]] = {}


def query(name: str, title: str, *, about: About = "model", moment: Moment = "any") -> Callable[[Look], Look]:
    """Register a function as a query; the first paragraph of its docstring is its explanation."""

    def register(look: Look) -> Look:
        if name in _QUERIES:
            raise ValueError(f"there are two queries named {name}")
        hints = get_type_hints(look)
        taken = [
            one
            for one in inspect.signature(look).parameters.values()
            if one.kind is inspect.Parameter.KEYWORD_ONLY
        ]
        _QUERIES[name] = Query(
            name, title, " ".join((look.__doc__ or "").split("\n\n")[0].split()), about, moment,
            {
                one.name: Parameter(one.name, hints[one.name], one.default is one.empty,
                                    None if one.default is one.empty else one.default)
                for one in taken
            },
            look,
        )  # fmt: skip
        return look

    return register


def queries() -> dict[str, Query]:
    """Every query there is, by name."""
    from backend.controls.queries import assurance, cards, changes, log, monitoring, people, rights, versions

    _ = assurance, cards, changes, log, monitoring, people, rights, versions  # they register themselves
    return dict(sorted(_QUERIES.items()))
