"""A whole installation for people at browsers: console, gateway, worker, MLflow, and traffic that never stops."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from backend import clock
from backend.alerting.service import Firing, fire
from backend.database.session import reading, writing
from backend.governance.asking import preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.policies import BUILT_IN
from backend.governance.policy_document import read_policy
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.observations.reader import row_counts
from backend.settings import settings
from tests.browser.people import give_passwords
from tests.integration.serving.parts import GatewayProcess
from tests.processes import START_S, BackgroundWorker, ConsoleProcess, wait_until
from tests.worlds import SYSTEM, World, add_model, make_world, person, put_policy_in_force, register_in_mlflow

# Two small models on a busy machine: how fast they answer, and that they score differently, is not what is tried.
ANALYSIS = {"minimum_requests": 3, "latency_ratio": 1000.0, "score_shift": 1.0}
SETTLED_S = 120.0


@dataclass
class Installation:
    """What runs. Every model has the two trained versions of `toy`; which one serves is said when it is added."""

    world: World
    console: str
    gateway: GatewayProcess

    def add(self, model: str, *, serving: int, tier: str = "medium") -> None:
        """A model of the tier in service, also in MLflow, once the gateway answers for it."""
        add_model(self.world, model, versions=2, serving=serving, tier=tier)
        register_in_mlflow(model, 2, alias=serving)
        wait_until(lambda: self.serves(model, serving), within_s=START_S, what=f"{model} in service")

    def add_person(self, username: str, *roles: Role) -> Actor:
        with writing() as session:
            found = person(session, username, *roles)
        give_passwords()
        return found

    def page(self, model: str) -> int:
        """A page about what serves; gives the incident."""
        with writing() as session:
            alert = fire(
                session, SYSTEM,
                Firing(model, "production", 2, "realised", "page", "AUC fell", "roc_auc", clock.now(), {}),
            )  # fmt: skip
            assert alert.incident_id is not None
            return alert.incident_id

    def serves(self, model: str, version: int) -> bool:
        """Whether the gateway has loaded this version as the champion."""
        return bool(self.gateway.model(model).get("version") == version)

    def answered_by(self, model: str) -> int:
        """The version that answers a request now."""
        answer = self.gateway.predict(model, features={"distance": 800.0, "carrier": "UA"})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["version"])

    @contextmanager
    def traffic(self, model: str) -> Iterator[None]:
        """A client that asks on and on, each request with another key; it starts with rows that are stored."""
        stop, failed = threading.Event(), list[str]()
        numbers = itertools.count()

        def ask(client: httpx.Client, rows: int) -> None:
            instances = []
            for number in itertools.islice(numbers, rows):
                features = {"distance": 100.0 + number * 37 % 2800, "carrier": ("AA", "B6", "UA")[number % 3]}
                instances.append(
                    {"prediction_id": f"{model}-{number}", "key": str(number), "features": features}
                )
            answer = client.post(f"/v1/models/{model}/predict", json={"instances": instances})
            if answer.status_code != 200:
                failed.append(answer.text)

        def go_on() -> None:
            with httpx.Client(base_url=self.gateway.url, timeout=30.0) as client:
                while not stop.wait(0.1):
                    ask(client, 2)

        with httpx.Client(base_url=self.gateway.url, timeout=30.0) as client:
            ask(client, 200)
        wait_until(lambda: stored(model) >= 200, within_s=START_S, what="the commit of the predictions")
        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert not failed, failed[:3]

    def ask(self, by: Actor, asked: Asked) -> int:
        """As a page does; gives the number of the change, once its gates are in."""
        with reading() as session:
            seen = preview_change(session, by, asked).digest
        with writing() as session:
            change = request_change(session, by, asked, reason=f"{asked.kind} for a test", seen_digest=seen)
            number = change.id
        wait_until(lambda: self.state(number) != "checking", within_s=SETTLED_S, what="the gates")
        return number

    def carry_out(self, asked: Asked, *, by: Actor, approved_by: tuple[Actor, ...]) -> int:
        """A change that was asked for, approved and executed; gives its number."""
        number = self.ask(by, asked)
        for one in approved_by:
            with writing() as session:
                digest = session.get_one(Change, number).digest
                decide(session, one, number, verdict="approve", comment="agreed", seen_digest=digest)
        wait_until(
            lambda: self.state(number) not in ("approved", "executing"), within_s=SETTLED_S, what="the end"
        )
        assert self.state(number) == "executed", self.outcome(number)
        return number

    def state(self, number: int) -> str:
        with reading() as session:
            return session.get_one(Change, number).state

    def outcome(self, number: int) -> str | None:
        with reading() as session:
            return session.get_one(Change, number).outcome


def stored(model: str) -> int:
    """How many predictions the writer has committed."""
    return row_counts(settings().observations, model).predictions


def put_in_force(document: dict[str, Any]) -> None:
    """Another revision of the policy."""
    with writing() as session:
        put_policy_in_force(session, read_policy(document))


def policy_of_seconds() -> dict[str, Any]:
    """The built-in policy, where the medium tier comes by a canary of seconds and the low one without gates."""
    document: dict[str, Any] = yaml.safe_load(BUILT_IN.read_text())
    rules = {entry["name"]: entry["rule"] for entry in document["rules"]}
    rules["medium tier"]["rollout"] = {
        "strategy": "canary", "steps": [0.3, 0.6, 1], "bake_s": 3, "analysis": ANALYSIS,
    }  # fmt: skip
    rules["low tier"]["gates"] = []
    return document


def policy_without_gates() -> dict[str, Any]:
    """The built-in policy, asking nothing of versions: changes wait for decisions at once, and need no worker."""
    document: dict[str, Any] = yaml.safe_load(BUILT_IN.read_text())
    for entry in document["rules"]:
        entry["rule"]["gates"] = []
    return document


@contextmanager
def open_installation(
    folder: Path, *, queues: Sequence[str] = ("changes", "writer")
) -> Iterator[Installation]:
    """An installation in the home that the environment names; its worker serves these queues."""
    world = make_world(folder / "files", versions=2, trained=(1, 2))
    give_passwords()
    put_in_force(policy_of_seconds())
    with GatewayProcess(folder / "gateway.log") as gateway:
        console = ConsoleProcess(folder / "console.log", WARRANT_GATEWAY_PORT=str(gateway.port))
        worker = BackgroundWorker(folder / "worker.log", "worker", queues)
        with console, worker:
            for process in (gateway, console, worker):
                process.start()
            register_in_mlflow("toy", 2)
            wait_until(gateway.ready, within_s=START_S, what="the gateway's readiness")
            console.wait_ready()
            yield Installation(world, console.url, gateway)
