"""Numbers in requests, within what every database can hold."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

RowId = Annotated[int, Path(ge=0, lt=2**63)]
Before = Annotated[int | None, Query(ge=0, lt=2**63, description="`next` of the page before")]
VersionNumber = Annotated[int | None, Field(ge=1, lt=2**31)]
AlertNumber = Annotated[int | None, Field(ge=1, lt=2**63)]
