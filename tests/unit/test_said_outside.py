"""What a system outside says is kept as text by every database; else its answer would stop what waits for it."""

from __future__ import annotations

import pytest

from backend.deployment.targets import TargetRefused, Wanted
from backend.deployment.targets.webhook import WebhookTarget
from backend.foreign_text import storable
from backend.governance.outside import Question, answer_to
from backend.serving.errors import NotLoadable
from backend.serving.watcher import why_not_loaded
from backend.signed_http import SignedSender
from jobs.runtime import reason_of
from tests.integration.deployment.receiver import SECRET, receiver

ODD = "it\x00 broke \ud800 off"


@pytest.mark.parametrize(
    ("said", "kept"), [(ODD, "it broke ? off"), (None, ""), ("flüge", "flüge"), (7, "7")]
)
def test_text_is_storable(said: object, kept: str) -> None:
    assert storable(said) == kept


@pytest.mark.parametrize("error", [ValueError(ODD), TargetRefused(ODD)])
def test_the_reason_of_a_step_that_failed_is(error: Exception) -> None:
    assert reason_of(error).endswith("it broke ? off")


@pytest.mark.parametrize("error", [ValueError(ODD), NotLoadable(ODD)])
def test_why_a_gateway_did_not_load_a_version_is(error: Exception) -> None:
    assert why_not_loaded(error).endswith("it broke ? off")


def test_an_answer_of_a_gate_is() -> None:
    with receiver() as made:
        made.asked["key"] = {"check": "ci"}
        made.verdicts["ci"] = {
            "state": "done",
            "verdict": "fail",
            "text": ODD,
            "url": "https://ci.example/\x001",
        }
        answer = answer_to(SignedSender(made.url, SECRET), Question("ci", "key", {}, 1.0))
    assert answer is not None
    assert (answer.text, answer.url) == ("it broke ? off", "https://ci.example/1")


def test_the_reason_of_a_target_that_failed_is() -> None:
    wanted = Wanted(1, "toy", "production", ())
    with receiver() as made:
        target = WebhookTarget(made.url, SECRET, pauses_s=())
        target.ensure(wanted)
        made.failing = ODD
        with pytest.raises(TargetRefused) as refused:
            target.observe(wanted)
    assert refused.value.message.endswith("failed: it broke ? off")
