"""The key by which codes for new gateways are kept: enough to make a code, never enough to sign a certificate.

`server ca init` writes it twice, for the door (`authority/`) and for the pages (`server/`). So whoever serves pages can invite a
box and admit none: that takes the authority's key and the box's own.
"""

import hmac
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from vitals.errors import UnavailableError

FILE: Final = "claims.key"
KEY_BYTES: Final = 32


class Keyed(Protocol):
    """Whatever hashes a code so that nobody can try codes who has the database alone: this key, or the authority's own."""

    def keyed_hash(self, text: str) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimKey:
    """`pin`: by which a new gateway knows the clinic; it stands in every invitation and is no secret."""

    secret: bytes
    pin: str

    def keyed_hash(self, text: str) -> bytes:
        return hmac.digest(self.secret, text.encode(), "sha256")

    def __bytes__(self) -> bytes:
        """As it lies in its file."""
        return json.dumps({"key": self.secret.hex(), "pin": self.pin}).encode() + b"\n"


def make(pin: str) -> ClaimKey:
    return ClaimKey(secret=secrets.token_bytes(KEY_BYTES), pin=pin)


def read(path: Path) -> ClaimKey:
    """Raises `UnavailableError` if it is not there or is not one."""
    try:
        said = json.loads(path.read_bytes())
        secret, pin = bytes.fromhex(said["key"]), str(said["pin"])
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise UnavailableError(f"no key for codes in {path}: {e}; `server ca renew` makes what is missing") from e
    if len(secret) != KEY_BYTES:
        raise UnavailableError(f"{path}: the key has not {KEY_BYTES} bytes; `server ca renew` copies it anew")
    return ClaimKey(secret=secret, pin=pin)
