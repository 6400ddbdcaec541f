"""What can go wrong: a problem document (RFC 9457) of the console as an exception, or no answer at all.

WarrantError
├── NotReached      no connection, or no answer in time
└── Problem         the console refused: `status`, `title`, `detail`, and what else the document said in `members`
    ├── BadInput    400, 422      ├── Conflict     409
    ├── NotSignedIn 401           ├── TooLarge     413
    ├── NotAllowed  403           ├── TooMany      429
    └── NotFound    404           └── Unavailable  503
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx


class WarrantError(Exception):
    """Everything that this package raises of its own."""


class NotReached(WarrantError):
    """The console was not reached, or did not answer in time. What came of a POST is not known then."""


class Problem(WarrantError):
    """A refusal in the console's words. `request_id` finds it in the console's log."""

    def __init__(self, status: int, title: str, detail: str, members: Mapping[str, Any]) -> None:
        super().__init__(f"{title}: {detail}")
        self.status, self.title, self.detail, self.members = status, title, detail, dict(members)

    @property
    def request_id(self) -> str:
        return str(self.members.get("request_id", ""))


class BadInput(Problem):
    """400 or 422: what was sent cannot be taken; `detail` says what and where."""


class NotSignedIn(Problem):
    """401: no token, or none that holds."""


class NotAllowed(Problem):
    """403: the token's owner may not do this."""


class NotFound(Problem):
    """404: it is not there, or not for the token's owner."""


class Conflict(Problem):
    """409: things are no longer as the request takes them to be."""


class TooLarge(Problem):
    """413: send smaller ones."""


class TooMany(Problem):
    """429, also after the tries that were made."""


class Unavailable(Problem):
    """503, also after the tries that were made."""


_OF_STATUS: Mapping[int, type[Problem]] = {
    400: BadInput, 401: NotSignedIn, 403: NotAllowed, 404: NotFound, 409: Conflict, 413: TooLarge, 422: BadInput,
    429: TooMany, 503: Unavailable,
}  # fmt: skip


def problem_of(answer: httpx.Response) -> Problem:
    """The refusal that an answer is, also where it is no problem document (of a proxy between, say)."""
    kind = _OF_STATUS.get(answer.status_code, Problem)
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return kind(answer.status_code, f"HTTP {answer.status_code}", answer.text[:300], {})
    title = str(document.get("title", f"HTTP {answer.status_code}"))
    return kind(answer.status_code, title, str(document.get("detail", "")), document)
