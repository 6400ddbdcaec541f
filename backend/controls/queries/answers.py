"""Words and ages that every query shares."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from backend import clock
from backend.controls.evidence import Evidence, Link, Question


def utc(moment: datetime) -> str:
    """A time as the record has it."""
    return clock.to_words(moment)


def count(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def is_older(asked: Question, moment: datetime, days: float) -> bool:
    return asked.at - moment > timedelta(days=days)


def aged(
    asked: Question, moment: datetime, days: float, reason: str, *, links: Sequence[Link] = (), mark: str = ""
) -> Evidence:
    """Present, or out of date where it is older than `days` at the moment asked about."""
    if is_older(asked, moment, days):
        told = f"{reason}: {(asked.at - moment).days:,} days old, and {days:g} are allowed"
        return Evidence("stale", told, moment, tuple(links), mark)
    return Evidence("present", reason, moment, tuple(links), mark)


def missing(reason: str, *links: Link) -> Evidence:
    return Evidence("missing", reason, links=links)


def not_shown(reason: str, *links: Link) -> Evidence:
    return Evidence("not_shown", reason, links=links)


def moved_since(asked: Question, what: str, moment: datetime) -> Evidence:
    """A row that holds only what is now, and moved after the day asked about."""
    return Evidence(
        "not_shown", f"{what} was changed on {utc(moment)}, and what it said on {utc(asked.at)} stands only in the log"
    )  # fmt: skip


def no_version(asked: Question) -> Evidence:
    """A model without a version of its own at that time: a vendor's, or one that was only imported."""
    return missing(f"no version of {asked.name} was registered here")


def model_link(name: str) -> Link:
    return Link("model", name, name)


def inventory_link(name: str) -> Link:
    """Where people write what they know of a model."""
    return Link("inventory", name, f"{name} in the inventory")


def data_link(name: str) -> Link:
    """Where the rule of a model's data is."""
    return Link("data_rule", name, f"data of {name}")


def version_link(name: str, version: int) -> Link:
    return Link("version", f"{name}/{version}", f"{name} version {version}")


def change_link(number: int) -> Link:
    return Link("change", str(number), f"CHG-{number}")
