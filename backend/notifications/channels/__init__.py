"""Ways to tell people: one file a kind, one row of `KINDS`, which says what the file of contacts gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backend.notifications.channels.alertmanager import Alertmanager
from backend.notifications.channels.apprise_urls import AppriseUrl
from backend.notifications.channels.opsgenie import Opsgenie
from backend.notifications.channels.pagerduty import PagerDuty
from backend.notifications.channels.slack import Slack
from backend.notifications.channels.webhook import Webhook


@dataclass(frozen=True)
class Kind:
    """make     the class of the channel, made of its values
    secrets  values that come from the environment or a file, never from the text itself
    plain    values that may stand in the text
    needed   those that it cannot do without
    """

    make: type[Any]
    secrets: frozenset[str]
    plain: frozenset[str]
    needed: frozenset[str]
    title: str
    reminds: bool = False  # takes reminders of changes; what wakes people up does not


KINDS: Final[Mapping[str, Kind]] = {
    "pagerduty": Kind(
        PagerDuty, frozenset({"key", "token"}), frozenset({"events", "rest"}), frozenset({"key"}), "PagerDuty"
    ),
    "opsgenie": Kind(Opsgenie, frozenset({"key"}), frozenset({"address"}), frozenset({"key"}), "Opsgenie"),
    "slack": Kind(
        Slack, frozenset({"token"}), frozenset({"channel", "address"}), frozenset({"token", "channel"}), "Slack",
        reminds=True,
    ),
    "webhook": Kind(
        Webhook, frozenset({"secret"}), frozenset({"url"}), frozenset({"url", "secret"}), "Webhook", reminds=True,
    ),
    "alertmanager": Kind(
        Alertmanager, frozenset(), frozenset({"url"}), frozenset({"url"}), "Alertmanager"
    ),
    "apprise": Kind(AppriseUrl, frozenset({"url"}), frozenset(), frozenset({"url"}), "Apprise", reminds=True),
}  # fmt: skip
