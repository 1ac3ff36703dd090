"""What a new gateway and its clinic say to each other before there is a certificate, and the text of the QR that begins it.

One strict definition for both ends. Certificates and requests for them travel as PEM text.
"""

import re
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Meta, Struct

from vitals.errors import MalformedError
from vitals.reading import Identifier, ZoneName

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Digits and capitals without 0, 1, I and O: 32 signs that nobody mixes up, 30 bits in six of them."""
CODE_LENGTH: Final = 6
MAX_BYTES: Final = 16 * 1024
"""A longer message is refused unread."""
DEFAULT_PORT: Final = 8443

Code = Annotated[str, Meta(pattern=rf"^[{ALPHABET}]{{{CODE_LENGTH}}}\Z")]
Pem = Annotated[str, Meta(min_length=1, max_length=8 * 1024)]
Pin = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""SHA-256 of the DER of the certificate of the clinic's authority."""


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A box says which gateway it is to be, shows the code, and asks for a certificate."""

    gateway_id: Identifier
    code: Code
    request: Pem


class Renewal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway, known by the certificate of the connection, asks for the next one."""

    request: Pem


class Admission(Struct, frozen=True, kw_only=True):
    """What a gateway needs to be one. `mqtt_host` None: where this was asked. A word that is not known yet is passed over."""

    gateway_id: Identifier
    zone: ZoneName
    mqtt_host: str | None
    mqtt_port: Annotated[int, Meta(ge=1, le=65535)]
    certificate: Pem
    authority: Pem
    renew_from: Annotated[datetime, Meta(tz=True)]
    ends_at: Annotated[datetime, Meta(tz=True)]


class Refusal(Struct, frozen=True, kw_only=True):
    """Why not: a word for programs and a sentence for people."""

    reason: str
    detail: str


class Invitation(Struct, frozen=True, kw_only=True):
    """What a QR says: where to go, which gateway to be, the code, and by which authority to know the clinic."""

    host: str
    port: int
    gateway_id: Identifier
    code: Code
    pin: Pin

    @property
    def text(self) -> str:
        """`homevigil://clinic.example:8443/gw-0001/ABC234/<pin>`."""
        return f"homevigil://{self.host}:{self.port}/{quote(self.gateway_id)}/{self.code}/{self.pin}"


def parse_invitation(text: str) -> Invitation:
    """What `Invitation.text` wrote; raises `MalformedError` (`invitation`)."""
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port or DEFAULT_PORT
        _, gateway_id, code, pin = parts.path.split("/")
        if parts.scheme != "homevigil" or not host:
            raise ValueError("it does not begin with homevigil://HOST")
        found = {
            "host": host,
            "port": port,
            "gateway_id": unquote(gateway_id),
            "code": code.upper(),
            "pin": pin.lower(),
        }
        return msgspec.convert(found, Invitation)
    except (ValueError, msgspec.ValidationError) as e:
        raise MalformedError("invitation", "this is not the text of an enrolment QR of HomeVigil") from e


def spoken_pin(pin: str) -> str:
    """A pin as people compare it: sixteen groups of four."""
    return " ".join(re.findall("....", pin))
