"""Cursor paging: a page says where the next one begins, so that rows that arrive meanwhile shift nothing."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from server.store.worklist import PAGE_MAX, Place
from vitals.errors import MalformedError

T = TypeVar("T")

Cursor = Annotated[str, StringConstraints(max_length=256, pattern=r"^[A-Za-z0-9_=-]+$")]


class Page(BaseModel):
    """Which page is asked for."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=PAGE_MAX - 1)] = 50
    cursor: Cursor | None = None


def encode_cursor(at: datetime, row_id: UUID) -> str:
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{row_id}".encode()).decode()


def decode_cursor(cursor: str | None) -> Place | None:
    """Raises `MalformedError` (`cursor`) for what this server never gave out."""
    if cursor is None:
        return None
    try:
        at, _, row_id = base64.urlsafe_b64decode(cursor).decode().partition("|")
        place = Place(at=datetime.fromisoformat(at), row_id=UUID(row_id))
    except ValueError as e:
        raise MalformedError("cursor", "the cursor is none that was given out; begin without one") from e
    if place.at.tzinfo is None:
        raise MalformedError("cursor", "the cursor is none that was given out; begin without one")
    return place


def cut(rows: Sequence[T], limit: int) -> tuple[Sequence[T], T | None]:
    """Of `limit + 1` rows asked for: the page, and its last row if another page follows."""
    return (rows[:limit], rows[limit - 1]) if len(rows) > limit else (rows, None)
