"""Who sits at the command line: no account of Warrant's, so the operating system is asked, and the entry says it."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

from backend.identity.actor import Actor, system_actor


def at_command_line() -> Actor:
    """The command line as the one who acts; its entries carry login, account and host in clear."""
    return replace(system_actor("command line"), seat=seat())


def seat() -> dict[str, str]:
    """Who signed in to this machine (`login`; as root by sudo it is still the person's), the account that the process
    runs as, and the name of the host. They are what the operating system says: whoever owns it can say otherwise."""
    account = _account()
    try:
        login = os.getlogin()
    except OSError:  # no terminal: a container, a timer
        login = account
    return {"login": login, "account": account, "host": socket.gethostname()}


def _account() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # an id that has no name, as containers have
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
