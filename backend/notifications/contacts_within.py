"""The contacts as far as they concern some models and teams: what somebody is shown who sees no others."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from backend.notifications.contacts import Contacts, Which, matches

AWhich = TypeVar("AWhich", bound=Which)


def within(contacts: Contacts, models: Collection[str], teams: Collection[str]) -> Contacts:
    """Without what is about other models or teams alone: routes, reminders, and the rotas that answer such a route.
    What is left names none of the others."""
    routes = tuple(one for one in contacts.routes if _concerns(one.when, models, teams))
    gone = {one.name for one in contacts.routes} - {one.name for one in routes}
    return contacts.model_copy(update={
        "routes": tuple(one.model_copy(update={"when": _own(one.when, models, teams)}) for one in routes),
        "reminders": tuple(
            one.model_copy(update={"when": _own(one.when, models, teams)})
            for one in contacts.reminders if _concerns(one.when, models, teams)
        ),
        "rotas": {name: rota for name, rota in contacts.rotas.items() if rota.route not in gone},
    })  # fmt: skip


def _concerns(when: Which, models: Collection[str], teams: Collection[str]) -> bool:
    return (not when.model or any(matches(when.model, one) for one in models)) and (
        not when.team or any(matches(when.team, one) for one in teams)
    )


def _own(when: AWhich, models: Collection[str], teams: Collection[str]) -> AWhich:
    """The same, with the patterns alone that are about these models and teams."""
    return when.model_copy(update={
        "model": tuple(each for each in when.model if any(matches((each,), one) for one in models)),
        "team": tuple(each for each in when.team if any(matches((each,), one) for one in teams)),
    })  # fmt: skip
