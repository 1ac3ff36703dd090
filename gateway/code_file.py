"""A small file of secrets in the gateway's state folder: JSON, for the service's user alone (0600), replaced whole."""

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vitals.errors import MalformedError

T = TypeVar("T")


def read_codes(path: Path, kind: type[T], reason: str) -> T | None:
    """What is in it; None if there is no file. Raises `MalformedError` (`reason`) for a file that is not as we write it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as e:
        raise MalformedError(reason, f"{path} is not as the gateway writes it; remove it: {e}") from e


def write_codes(path: Path, codes: Any) -> None:
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(codes))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
