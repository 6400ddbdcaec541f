"""Slack: one message an incident, changed as the incident changes; people answer with a reaction. One that asks again
to be acknowledged is posted again.

👀 on the message acknowledges, ✅ resolves. So nothing of ours has to be reachable from outside. Slack knows no dedup
key: the message carries ours in its metadata, and after an attempt that was cut off the channel is searched for it
before anything is posted again. https://docs.slack.dev/reference/methods/chat.postMessage
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, ClassVar, Final

from backend.notifications.channels.base import Heard, Receipt, ask, web_address
from backend.notifications.messages import Message, Told, clipped
from backend.signed_http import NotAnswered, NotTaken, OutcomeUnknown

log = logging.getLogger("warrant.notifications")

API: Final = "https://slack.com/api"
EVENT: Final = "warrant_incident"
ACKNOWLEDGES, RESOLVES = "eyes", "white_check_mark"
LONGEST: Final = 2_900  # characters of one block
LOOKED_BACK: Final = 200  # messages
_PASSING: Final = ("ratelimited", "service_unavailable")
_UNKNOWN: Final = (
    "internal_error",
    "fatal_error",
    "request_timeout",
)  # "some of it may have been done", Slack says
_MARKS: Final = {"open": "🔴", "acknowledged": "🟡", "resolved": "🟢"}
_WAITS: Final = "🔔"  # a change


class Slack:
    """token    of a bot with chat:write, channels:history and reactions:read (users:read for names)
    channel  the id of the channel, such as C0123456789
    """

    kind: ClassVar[str] = "slack"
    changes: ClassVar[bool] = True
    refresh: ClassVar[timedelta | None] = None
    hears = True

    def __init__(self, token: str, channel: str, *, address: str = API) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._channel, self._api = channel, web_address(address, "slack address")

    def tell(self, message: Message, told: Told | None) -> Receipt:
        asks_again = bool(message.earlier_keys(told))
        before = told.ref if told is not None else ""
        ref = "" if asks_again else before
        if not ref and told is not None and told.perhaps:
            ref = self._search(message.page_key)
        content = {"channel": self._channel, "text": _plain(message), "blocks": _blocks(message)}
        receipt = Receipt(ref, "the message was changed")
        if ref:
            self._call("chat.update", content | {"ts": ref})
        else:
            metadata = {"event_type": EVENT, "event_payload": {"key": message.page_key}}
            answer = self._call("chat.postMessage", content | {"metadata": metadata, "unfurl_links": False})
            receipt = Receipt(str(answer["ts"]), "posted")
        if asks_again and before:
            self._leave(before, message)
        return receipt

    def _leave(self, ref: str, message: Message) -> None:
        """Say on an earlier message that another took its place. The newer one is there already: nothing may fail."""
        text = clipped(f"⚪ {_escaped(message.summary)} asks again: see the newer message", LONGEST)
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]
        try:
            self._call("chat.update", {"channel": self._channel, "ts": ref, "text": text, "blocks": blocks})
        except (NotTaken, NotAnswered) as error:
            log.info("an earlier message stays as it is: %s", error.message)

    def hear(self, key: str, ref: str) -> Heard | None:
        if not ref:
            return None
        answer = self._read("reactions.get", {"channel": self._channel, "timestamp": ref, "full": "true"})
        reactions = {one["name"]: one.get("users") or [] for one in answer["message"].get("reactions") or ()}
        for name, state in ((RESOLVES, "resolved"), (ACKNOWLEDGES, "acknowledged")):
            if reactions.get(name):
                user = str(reactions[name][0])
                return Heard(state, self._name(user), f"{ref}/{name}/{user}")
        return Heard("open")

    def _search(self, key: str) -> str:
        """The time of our message in the channel, empty if it was never posted."""
        wanted = {"channel": self._channel, "limit": str(LOOKED_BACK), "include_all_metadata": "true"}
        for one in self._read("conversations.history", wanted).get("messages") or ():
            metadata = one.get("metadata") or {}
            if (metadata.get("event_payload") or {}).get("key") == key:
                return str(one["ts"])
        return ""

    def _name(self, user: str) -> str:
        try:
            profile = self._read("users.info", {"user": user})["user"]
        except NotTaken:  # no right to read people
            return user
        return str(profile.get("real_name") or profile.get("name") or user)

    def _call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        return _checked(method, ask("POST", f"{self._api}/{method}", body=body, headers=self._headers))

    def _read(self, method: str, params: dict[str, str]) -> dict[str, Any]:
        return _checked(method, ask("GET", f"{self._api}/{method}", params=params, headers=self._headers))


def _checked(method: str, answer: Any) -> dict[str, Any]:
    """Slack answers 200 whatever happened."""
    if isinstance(answer, dict) and answer.get("ok"):
        return answer
    error = (
        str(answer.get("error", "no reason")) if isinstance(answer, dict) else "no answer that can be read"
    )
    if error in _UNKNOWN:
        raise OutcomeUnknown(f"Slack does not say whether it did {method}: {error}")
    if error in _PASSING:
        raise NotAnswered(f"Slack cannot {method} now: {error}")
    raise NotTaken(f"Slack refused {method}: {error}")


def _escaped(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text: these three are all that mean anything."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(message: Message) -> str:
    mark = _MARKS[message.state] if message.change is None else _WAITS
    return clipped(f"{mark} {_escaped(message.summary)}", LONGEST)


def _blocks(message: Message) -> list[dict[str, Any]]:
    facts = clipped("\n".join(_escaped(line) for line in message.text.split("\n")[:-1]), LONGEST)
    is_asked = message.state != "resolved" and message.change is None
    hint = "  👀 acknowledges, ✅ resolves" if is_asked else ""
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": f"*{_plain(message)}*"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": facts}},
        {
            "type": "context",
            "elements": [{"type": "mrkdwn", "text": f"<{message.link}|{message.ref} in Warrant>{hint}"}],
        },
    ]
