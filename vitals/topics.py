"""Build and parse MQTT topics; an invalid topic cannot be constructed.

`homevigil/1/<gateway>/readings|receipts|status|config|diagnostics`. No patient is ever named on a topic.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from vitals.errors import MalformedError

PREFIX: Final = "homevigil/1"
_GATEWAY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,63}")


class Channel(StrEnum):
    """The last level of a topic. Up: readings, status, diagnostics. Down: receipts, config. Status and config are retained."""

    READINGS = "readings"
    RECEIPTS = "receipts"
    STATUS = "status"
    CONFIG = "config"
    DIAGNOSTICS = "diagnostics"

    @property
    def for_every_gateway(self) -> str:
        """The subscription filter that matches this channel of all gateways."""
        return f"{PREFIX}/+/{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One channel of one gateway."""

    gateway_id: str
    channel: Channel

    def __post_init__(self) -> None:
        if not _GATEWAY.fullmatch(self.gateway_id):
            raise MalformedError("topic", f"{self.gateway_id!r} cannot name a gateway", self.gateway_id)

    def __str__(self) -> str:
        return f"{PREFIX}/{self.gateway_id}/{self.channel.value}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The topic behind `text`; raises `MalformedError` if it is not one of ours."""
        prefix, _, rest = text.rpartition("/")
        prefix, _, gateway_id = prefix.rpartition("/")
        if prefix != PREFIX or rest not in Channel.__members__.values():
            raise MalformedError("topic", f"{text[:200]!r} is not a HomeVigil topic", text)
        return cls(gateway_id=gateway_id, channel=Channel(rest))
