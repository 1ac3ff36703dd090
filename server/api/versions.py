"""Which version of something was read, as a decision about it must say: `If-Match`."""

import re
from typing import Annotated, Final

from fastapi import Header

from server.people.errors import MissingVersionError

IfMatch = Annotated[str | None, Header(alias="If-Match", description='The `etag` that was read, for example `"3"`')]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Your own name for the request; said again under it, it is done once and answered again",
    ),
]

NEVER_A_VERSION: Final = -1


def read_if_match(if_match: str | None) -> int:
    """The version named. `*` names none; what cannot be one of our tags matches nothing (RFC 9110, 13.1.1).

    Raises `MissingVersionError`.
    """
    if if_match is None or if_match.strip() == "*":
        raise MissingVersionError('say in If-Match which version was read, for example If-Match: "3"')
    tag = re.fullmatch(r'\s*"(0|[1-9][0-9]{0,17})"\s*', if_match)
    return int(tag[1]) if tag else NEVER_A_VERSION
