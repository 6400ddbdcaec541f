"""`warrant demo fault NAME`: switch a named upstream fault on or off, with an audit entry."""

from __future__ import annotations

import sys

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import writing
from backend.errors import WarrantError
from backend.identity.actor import Actor
from backend.identity.command_line import at_command_line
from backend.identity.roles import Permission
from backend.settings import settings
from jobs.demo.faults import FAULTS, find_fault, switch_off, switch_on


def inject(actor: Actor, name: str) -> str:
    """Switch the fault on, or off with `off`; gives a sentence. The entry is durable before the fault acts.

    Raises `NotFound` for an unknown name.
    """
    actor.require(Permission.INJECT_FAULTS)
    home = settings().resolved_home()
    if name == "off":
        with writing() as session:
            record(session, actor, Action.FAULT_CLEARED, object_kind="workload", object_id="flight-delay")
        return "no fault is injected any more" if switch_off(home) else "no fault was injected"
    fault = find_fault(name)
    with writing() as session:
        record(
            session, actor, Action.FAULT_INJECTED, object_kind="workload", object_id="flight-delay",
            payload={"fault": name, "description": fault.description},
        )  # fmt: skip
    switch_on(home, name, since=clock.now())
    return f"{name}: {fault.description}; `warrant demo fault off` ends it"


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write(f"warrant: name one fault: {', '.join(FAULTS)}, or off\n")
        return 2
    try:
        sys.stdout.write(inject(at_command_line(), sys.argv[1]) + "\n")
    except WarrantError as error:
        sys.stderr.write(f"warrant: {error.title.lower()}: {error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
