"""Numbers and times in requests, within what every database can hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, Field


def _in_utc(moment: datetime) -> datetime:
    """The same moment in UTC; one without a zone stays as it is, for whoever refuses it."""
    try:
        return moment if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time lies before the year 1 or after 9999 in UTC") from error


RowId = Annotated[int, Path(ge=0, lt=2**63)]
Before = Annotated[int | None, Query(ge=0, lt=2**63, description="`next` of the page before")]
BehindPoint = Annotated[str | None, Query(max_length=60, description="`next` of the page before")]
VersionNumber = Annotated[int | None, Field(ge=1, lt=2**31)]
AlertNumber = Annotated[int | None, Field(ge=1, lt=2**63)]
Moment = Annotated[datetime, AfterValidator(_in_utc)]
ZonedMoment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
