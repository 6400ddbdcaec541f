"""`warrant up`: migrate, load the demo if asked, then run every process under one supervisor."""

from __future__ import annotations

import os
import subprocess
import sys

from backend.commands.output import say
from backend.database.session import reading, writing
from backend.demo_state import loaded_marker
from backend.errors import BadInput
from backend.identity.command_line import at_command_line
from backend.settings import settings
from backend.supervisor import Child, supervise


def start_everything(*, demo: bool) -> int:
    """Run console, worker and gateway until stopped; gives the exit code."""
    if demo:
        os.environ["WARRANT_DEMO"] = "true"
        settings.cache_clear()
    here = settings()
    host = here.local_host
    children = [
        *consoles(here.consoles, f"http://{host}:{here.port}/healthz"),
        Child("gateway", [sys.executable, "-m", "backend.serving.gateway"],
              ready=f"http://{host}:{here.gateway_port}/healthz"),
        Child("worker", [sys.executable, "-m", "jobs.worker"]),
    ]  # fmt: skip
    if demo:
        children.append(Child("replay", [sys.executable, "-m", "jobs.demo.play"], last=True))
    return supervise(children, on_ready=lambda: _tell_where(demo=demo), prepare=lambda: _prepare(demo=demo))


def consoles(number: int, ready: str) -> list[Child]:
    """So many console processes on one port; `BadInput` for several where the system cannot share one out."""
    command = [sys.executable, "-m", "app.server"]
    if number == 1:
        return [Child("console", command, ready=ready)]
    if sys.platform != "linux":
        raise BadInput("WARRANT_CONSOLES is above 1, and only Linux shares one port out among processes")
    names = ["console", *(f"console-{one}" for one in range(2, number + 1))]
    return [Child(name, [*command, "--share-port"], ready=ready) for name in names]


def _prepare(*, demo: bool) -> int:
    """Migrate the database and load the demo, while no other supervisor can do the same on this home."""
    from backend.database.upgrade import upgrade

    upgrade()
    if not demo or loaded_marker().exists():
        return 0
    loaded = subprocess.run([sys.executable, "-m", "jobs.demo.load"], check=False)
    if loaded.returncode != 0:
        say("warrant: the demo workload could not be loaded; `warrant demo load` says why", error=True)
    return loaded.returncode


def _tell_where(*, demo: bool) -> None:
    say("")
    say(f"  Warrant is running at {settings().console}")
    if demo:
        from backend.identity.demo import demo_accounts

        accounts = demo_accounts()
        say(f"  Sign in as one of: {', '.join(account.name for account in accounts)}")
        say(f"  Password of every demo account: {accounts[0].password}")
    else:
        from backend.identity.setup import has_administrator

        with reading() as session:
            is_set_up = has_administrator(session)
        if not is_set_up:
            say(f"  First start: set the administrator's password at {new_set_up_link()}")
    say("  Ctrl-C stops everything and keeps all data.")
    say("")


def new_set_up_link(*, break_glass: bool = False) -> str:
    """A fresh one-time link; an earlier unused one stops working."""
    from backend.identity.setup import create_set_up_link

    with writing() as session:
        token = create_set_up_link(session, at_command_line(), break_glass=break_glass)
    return f"{settings().console}/setup/{token}"
