"""Facts about cards that stand in the way.

NotFound
└── NoSuchCard        the model's version has no card of that number
NotAllowed
└── OwnWords          a reviewer wrote some of what is to be approved
Conflict
├── CardConflict      somebody saved another version meanwhile (`ChangedSinceSeen`)
└── WrongState        what is asked for does not go with the state of that version
"""

from __future__ import annotations

from backend.errors import ChangedSinceSeen, Conflict, NotAllowed, NotFound


class NoSuchCard(NotFound):
    title = "No such card"


class OwnWords(NotAllowed):
    title = "Your own words"


class CardConflict(ChangedSinceSeen):
    """`details` has the newest `number`, its `author` and `made_at`, and `diff`: from what was begun from to it."""

    title = "The card was edited meanwhile"


class WrongState(Conflict):
    title = "Not in that state"
