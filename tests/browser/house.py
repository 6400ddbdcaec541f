"""A console with people and models and no worker: for what happens between drawing a page and a click on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.governance.asking import cancel_change, preview_change, request_change
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.identity.actor import Actor
from tests.browser.installation import policy_without_gates, put_in_force
from tests.browser.people import give_passwords
from tests.processes import ConsoleProcess
from tests.worlds import World, add_model, make_world

SOON, LATER = "rollback", "promote"  # a rollback waits for a day, a promotion for three


@dataclass
class House:
    """See the module. Every change is asked for by the engineer, whom the policy lets everything but decide."""

    world: World
    console: str
    _models: int = 0
    _asked: list[tuple[int, Actor]] = field(default_factory=list)

    def ask(self, kind: str, *, by: Actor | None = None) -> int:
        """A change that waits, of a model of its own; gives its number."""
        actor = by or self.world.on_call
        asked = Asked(kind, "production", self.new_model(), 1)
        with reading() as session:
            seen = preview_change(session, actor, asked).digest
        with writing() as session:
            change = request_change(session, actor, asked, reason=f"about {asked.model}", seen_digest=seen)  # fmt: skip
            self._asked.append((change.id, actor))
            return change.id

    def new_model(self) -> str:
        self._models += 1
        name = f"model-{self._models}"
        add_model(self.world, name)
        return name

    def change(self, number: int) -> Change:
        with reading() as session:
            change = session.get_one(Change, number)
            assert change.decisions is not None  # loaded while the session is open
            return change

    def assert_undecided(self, *numbers: int) -> None:
        for number in numbers:
            change = self.change(number)
            assert (change.state, len(change.decisions)) == ("waiting", 0)

    def entries(self, action: Action, number: int) -> int:
        with reading() as session:
            query = select(func.count()).where(
                AuditEntry.action == action.value, AuditEntry.object_id == str(number)
            )
            return int(session.scalar(query) or 0)

    def tidy(self) -> None:
        """Take back what a test left waiting."""
        for number, actor in self._asked:
            if self.change(number).state == "waiting":
                with writing() as session:
                    cancel_change(session, actor, number, reason="")
        self._asked.clear()


@contextmanager
def open_house(folder: Path) -> Iterator[House]:
    """A house in the home that the environment names."""
    world = make_world(folder / "files")
    put_in_force(policy_without_gates())
    give_passwords()
    with ConsoleProcess(folder / "console.log").start() as console:
        console.wait_ready()
        yield House(world, console.url)
