"""Typed Python client of Warrant's REST API.

>>> from warrant_client import Warrant
>>> with Warrant() as warrant:                       # WARRANT_URL and WARRANT_TOKEN
...     for change in warrant.changes.changes_pages(state=["waiting"]):
...         print(change["ref"], change["summary"])
"""

from warrant_client.errors import (
    BadInput,
    Conflict,
    NotAllowed,
    NotFound,
    NotReached,
    NotSignedIn,
    Problem,
    TooLarge,
    TooMany,
    Unavailable,
    WarrantError,
)
from warrant_client.operations import Warrant

__all__ = [
    "BadInput",
    "Conflict",
    "NotAllowed",
    "NotFound",
    "NotReached",
    "NotSignedIn",
    "Problem",
    "TooLarge",
    "TooMany",
    "Unavailable",
    "Warrant",
    "WarrantError",
]
__version__ = "0.1.0"
