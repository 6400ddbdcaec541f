"""Processes of Warrant and of others: whether they answer, and as they should."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import httpx
from sqlalchemy import func, make_url, select

from backend import clock, confined
from backend.doctor import Found, check, off, ok, trouble
from backend.settings import settings

if TYPE_CHECKING:
    from backend.identity.tables import Person

TIMEOUT_S: Final = 5.0
WAITS_TOO_LONG: Final = timedelta(minutes=10)


def _get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=TIMEOUT_S, follow_redirects=False)


@check("workers", "database")
def _workers() -> Found:
    from backend.database.session import reading
    from backend.leases import NOTIFIER, SCHEDULER, WRITER, lease_of
    from backend.queue import JobRun, WorkerBeat, worker_dead_after

    now = clock.now()
    with reading() as session:
        alive = session.scalars(
            select(WorkerBeat).where(WorkerBeat.seen_at >= now - worker_dead_after())
        ).all()
        queues = sorted({name for one in alive for name in one.queues.split(",")})
        leases = {name: lease_of(session, name) for name in (WRITER, SCHEDULER, NOTIFIER)}
        queued = session.execute(
            select(func.count(), func.min(JobRun.requested_at)).where(JobRun.state == "queued")
        ).one()
    if not alive:
        return trouble(
            "no worker runs: nothing is computed, told or carried out", "warrant worker, or warrant up"
        )
    idle = [
        name for name, lease in leases.items() if lease is None or not lease.holder or lease.expires_at < now
    ]
    if idle:
        return trouble(
            f"nobody is {' or '.join(idle)}",
            "look at the worker's log; another one takes over within seconds",
        )
    said = f"{len(alive)} for {', '.join(queues)}; {queued[0]} jobs wait"
    if queued[1] is not None and now - queued[1] > WAITS_TOO_LONG:
        return trouble(f"{said}, the oldest since {clock.to_words(queued[1])}",
                       "start more workers, or one for the queue it waits in: see Jobs")  # fmt: skip
    return ok(said)


@check("heartbeat", "database")
def _heartbeat() -> Found:
    from backend.database.session import reading
    from backend.heartbeat import read_state

    with reading() as session:
        state = read_state(session)
    if not state.is_on:
        return off("nobody outside notices when Warrant dies; set WARRANT_HEARTBEAT")
    if state.problem:
        return trouble(state.problem, "see Notifications; until then the receiver should page")
    passed = clock.to_words(state.passed_at) if state.passed_at else "never"
    return ok(f"{', '.join(one.receiver for one in state.beats)}; last passed {passed}")


@check("gateway")
def _gateway() -> Found:
    if settings().target != "gateway":
        return off(f"versions are served by {settings().target}")
    answer = _answered(f"{settings().gateway}/ready")
    if isinstance(answer, Found):
        return answer
    state: dict[str, Any] = answer.json()
    if answer.status_code != 200:
        return trouble(f"not ready: {state.get('reason')}", "its log says more")
    if state.get("stale"):
        return trouble(
            f"it serves its last good record: {state.get('record_error')}", "let it reach the database"
        )
    return ok(f"ready at {settings().gateway}, {len(state.get('models', {}))} models")


@check("console")
def _console() -> Found:
    local = f"http://{settings().local_host}:{settings().port}"
    answer = _answered(f"{settings().public_url or local}/healthz")
    if isinstance(answer, Found):
        return answer
    if answer.status_code != 200:
        return trouble(f"it answers {answer.status_code}", "its log says more")
    if settings().public_url and not settings().console.startswith("https://"):
        return trouble(f"{settings().console} is not https: passwords and cookies go in the clear",
                       "put a proxy that ends TLS before it and set WARRANT_PUBLIC_URL")  # fmt: skip
    return ok(f"answers at {settings().console}")


def _answered(url: str) -> httpx.Response | Found:
    try:
        return _get(url)
    except httpx.HTTPError as error:
        return trouble(
            f"nothing answers at {url} ({type(error).__name__})", "start it: warrant up, or its container"
        )


@check("MLflow", "home")
def _mlflow() -> Found:
    uri = settings().mlflow
    if uri.startswith(("http://", "https://")):
        answer = _get(f"{uri.rstrip('/')}/health")
        if answer.status_code != 200:
            return trouble(f"it answers {answer.status_code}", "look at the MLflow server's log")
        return ok(f"answers at {uri}")
    file = make_url(uri).database
    if uri.startswith("sqlite:") and file and not Path(file).is_file():
        return ok("embedded; nothing was registered yet")
    from mlflow import MlflowClient

    count = len(MlflowClient(tracking_uri=uri, registry_uri=uri).search_registered_models(max_results=100))
    return ok(f"embedded; {count} registered models" + (" or more" if count == 100 else ""))


@check("Prometheus")
def _prometheus() -> Found:
    from backend.slo.prometheus import Prometheus

    url = settings().prometheus_url
    if not url:
        return off("objectives read the gateway's own counts")
    with Prometheus(url) as server:
        found = server.query("count(warrant_version_info)")
    if not found.samples:
        return trouble(
            "it answers, and scrapes no gateway", "add the gateway's /metrics to its scrape_configs"
        )
    return ok(f"answers at {url}")


@check("single sign-on")
def _sign_on() -> Found:
    from backend.errors import WarrantError
    from backend.identity.oidc_documents import keys_of, metadata_of
    from backend.identity.providers import providers

    known = providers()
    if not known:
        return off("people sign in with passwords")
    told, broken = [], []
    for one in known.values():
        try:
            metadata = metadata_of(one, fresh=True)
            keys = keys_of(metadata)
            one.client_secret  # noqa: B018 - read, to see that it is there
        except WarrantError as error:
            broken.append(f"{one.key}: {error.message}")
            continue
        if not keys:
            broken.append(f"{one.key}: {metadata['jwks_uri']} holds no key that signs; nobody can sign in")
            continue
        logout = "" if isinstance(metadata.get("end_session_endpoint"), str) else ", no sign-out there"
        told.append(f"{one.key}: {metadata['issuer']}, {keys} keys{logout}")
    if broken:
        return trouble(
            "; ".join(broken + told), "look at the provider, and at what WARRANT_OIDC_... says of it"
        )
    return ok("; ".join(told))


@check("API tokens", "database")
def _tokens() -> Found:
    from backend.database.session import reading
    from backend.identity.tokens import WARNED, tokens_ending_soon

    with reading() as session:
        ending = [
            f"{token.name} of {holder.username}, {token.expires_at:%Y-%m-%d}"
            for token, holder in tokens_ending_soon(session)
        ]
    if not ending:
        return ok(f"none in force ends within {WARNED.days} days without one that takes over")
    more = f", and {len(ending) - 5} more" if len(ending) > 5 else ""
    return trouble(
        f"{len(ending)} end within {WARNED.days} days: {'; '.join(ending[:5])}{more}",
        "whoever holds them replaces them on the page Account, or revokes what nobody uses",
    )


@check("roles by sign-on", "database")
def _roles_by_sign_on() -> Found:
    from backend.database.session import reading
    from backend.identity.held_roles import SHOWN, asleep_holders

    days = settings().oidc_roles_days
    with reading() as session:
        found = [_asleep(person, services) for person, services in asleep_holders(session)]
    if not found:
        return ok(f"nobody has a role by a rule who did not sign on for {days} days")
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return trouble(
        f"{len(found)} did not sign on for {days} days, so what rules gave them does not count: "
        f"{'; '.join(found[:SHOWN])}{more}",
        "disable who left on the page People, which also stops the service accounts that they own; whoever is here "
        "signs on again",
    )


def _asleep(person: Person, services: int) -> str:
    since = f"{person.provider_said_at:%Y-%m-%d}" if person.provider_said_at else "never"
    owns = f", owns {services} service account{'s' if services > 1 else ''}" if services else ""
    return f"{person.username}, {since}{owns}"


@check("contacts")
def _contacts() -> Found:
    from backend.notifications.contacts import current_contacts, open_channel

    if settings().contacts is None:
        return off("nobody is told of incidents outside of the console; set WARRANT_CONTACTS")
    contacts = current_contacts()
    for name in contacts.channels:
        open_channel(contacts, name)
    if not contacts.routes:
        return trouble(
            "no route tells any channel", "write routes into the file; warrant contacts check says more"
        )
    return ok(f"{len(contacts.channels)} channels, {len(contacts.routes)} routes; secrets are there")


@check("target")
def _target() -> Found:
    from backend.deployment.targets import the_target

    return ok(f"{the_target().name} can be used")


@check("trainers")
def _trainers() -> Found:
    python = settings().trainer_python
    missing = [name for name, words in settings().trainer_programs.items() if not _is_program(words)]
    if missing:
        return trouble(
            f"the program of {', '.join(missing)} is not there", "correct WARRANT_TRAINER_PROGRAMS"
        )
    if python is None:
        return off("the tabular network is not offered; make setup-torch, then set WARRANT_TRAINER_PYTHON")
    told = subprocess.run(
        [str(python), "-c", "import torch; print(torch.__version__, torch.cuda.device_count())"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if told.returncode != 0:
        return trouble(
            f"{python} has no PyTorch: {told.stderr.strip().splitlines()[-1:]}", "make setup-torch"
        )
    version, devices = told.stdout.split()
    return ok(f"PyTorch {version}, {devices} GPUs")


@check("model processes")
def _model_processes() -> Found:
    """What a model that a job asks is kept from here, tried on a program that does nothing."""
    if not sys.platform.startswith("linux"):
        return off("a model that a job asks may read and reach what the worker may: this is no Linux")
    refused = _refused_here()
    if refused.pop("a network of its own", "") and not refused:
        return ok("kept from other files and processes, and from sockets by the filter of system calls alone")
    if refused:
        return trouble(
            "a model that a job asks runs without "
            + ", ".join(f"{one} ({why})" for one, why in refused.items()),
            "Linux from 5.13 with Landlock, and a container whose filter lets it and seccomp through",
        )
    return ok("kept from our secrets, other files, the network and other processes")


def _refused_here() -> dict[str, str]:
    """What the system does not do for `backend.confined`, with its words."""
    with TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        wanted = {
            "told": str(told), "memory_mb": None, "leave_network": True, "file_mb": 1, "read": ["/"], "write": [folder],
            "worker": os.getpid(), "ends_by": signal.SIGKILL,
        }  # fmt: skip
        filtered = subprocess.run(
            [sys.executable, "-I", "-S", confined.__file__, json.dumps(wanted),
             sys.executable, "-c", "from backend.refused_calls import refuse_calls; refuse_calls()"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        refused = {name: why for name, why in json.loads(told.read_text()).items() if why}
    if filtered.returncode != 0:
        refused["a filter of system calls"] = filtered.stderr.strip().rpartition("\n")[2][:200]
    return refused


@check("GPUs")
def _gpus() -> Found:
    from backend.serving.gpu import gpus_in_words

    try:
        told = gpus_in_words()
    except (OSError, subprocess.SubprocessError) as failure:
        return trouble(
            f"nvidia-smi does not answer: {failure}", "look at `nvidia-smi` and the driver of this host"
        )
    if told is None:
        return off("this host has none (no nvidia-smi); a worker here serves no queue gpu")
    if not told:
        return trouble("nvidia-smi lists none", "look at `nvidia-smi` and the driver of this host")
    return ok("; ".join(told))


def _is_program(words: list[str]) -> bool:
    import shutil

    return bool(words) and shutil.which(words[0]) is not None
