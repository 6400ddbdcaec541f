"""What every text and every day that people write here has to be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from backend import clock
from backend.errors import BadInput

LONGEST: Final = 4000
FARTHEST: Final = timedelta(days=366 * 10)


def written(value: str, field: str, *, longest: int = LONGEST, required: bool = True) -> str:
    """Text without white space around it. `BadInput` where it is missing, too long or holds a NUL."""
    value = value.strip()
    if required and not value:
        raise BadInput(f"write the {field}: others will read it", field=field)
    if len(value) > longest or "\x00" in value:
        raise BadInput(f"the {field} has {len(value)} characters; at most {longest} are kept", field=field)
    return value


def day_ahead(moment: datetime, field: str) -> datetime:
    """A moment to come, within ten years."""
    now = clock.now()
    if not now < moment <= now + FARTHEST:
        raise BadInput(
            f"{field} is {moment:%Y-%m-%d}; it has to be a day to come, within ten years", field=field
        )
    return moment
