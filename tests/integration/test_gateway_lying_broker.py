"""A broker that was taken over: what it sends, however much, costs the gateway no memory and no reading."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from unit.gateway.samples import GATEWAY
from unit.gateway.sender import sending_by

from gateway.carrier import HEARD_BOUND, LONGEST_TAKEN, connected
from gateway.config import Settings
from vitals.topics import Channel, Topic

ACCEPTED, SUBSCRIBED = bytes.fromhex("2003000000"), bytes.fromhex("000001")
SUBSCRIBE, PUBACK = 0x82, 0x40
PING_ME = b"\x32\x07\x00\x01x\x00\x07\x00!"
"""A message at QoS 1: its PUBACK says that everything before it has been read."""


@dataclass
class Liar:
    """Speaks just enough MQTT 5 to be believed, and answers each subscription with `says`; counts its guests."""

    says: bytes
    host: str = "127.0.0.1"
    port: int = 0
    guests: int = 0
    heard: list[bytes] = field(default_factory=list)
    has_answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.guests += 1
        try:
            self.heard.append(await _packet(reader))
            writer.write(ACCEPTED)
            while packet := await _packet(reader):
                if packet[0] == SUBSCRIBE:
                    writer.write(b"\x90" + bytes([4]) + packet[1:3] + b"\x00\x01")
                    writer.write(self.says)
                    await writer.drain()
                elif packet[0] == PUBACK:
                    self.has_answered.set()
        except (OSError, EOFError):
            pass  # it has hung up
        finally:
            writer.close()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """Type and rest, without the length between them."""
    kind, length, place = (await reader.readexactly(1)), 0, 1
    while True:
        (byte,) = await reader.readexactly(1)
        length += (byte & 127) * place
        place *= 128
        if byte < 128:
            return kind + await reader.readexactly(length)


def _published(payload: bytes) -> bytes:
    topic = str(Topic(gateway_id=GATEWAY, channel=Channel.CONFIG)).encode()
    rest = struct.pack(">H", len(topic)) + topic + b"\0" + payload
    length, left = b"", len(rest)
    while left > 127:
        length, left = length + bytes([left & 127 | 128]), left >> 7
    return b"\x30" + length + bytes([left]) + rest


@asynccontextmanager
async def lying(says: bytes) -> AsyncIterator[Liar]:
    liar = Liar(says)
    async with await asyncio.start_server(liar.serve, liar.host) as server:
        liar.port = server.sockets[0].getsockname()[1]
        yield liar


def _settings(liar: Liar, folder: Path) -> Settings:
    return Settings(
        id=GATEWAY, zone="Asia/Shanghai", outbox=folder / "o.sqlite", mqtt_host=liar.host, mqtt_port=liar.port
    )


async def test_a_message_that_is_longer_than_we_have_said_is_not_taken_into_memory(tmp_path: Path) -> None:
    async with lying(_published(b"x" * LONGEST_TAKEN)) as liar, sending_by(_settings(liar, tmp_path)) as sender:
        await sender.until(lambda: liar.guests >= 3)
        assert sender.configs == []
    assert b"\x27" + struct.pack(">I", LONGEST_TAKEN) in liar.heard[0], "an honest broker is told what we take"


async def test_a_message_of_the_longest_kind_is_taken(tmp_path: Path) -> None:
    longest = b"x" * (LONGEST_TAKEN - 100)
    async with lying(_published(longest)) as liar, sending_by(_settings(liar, tmp_path)) as sender:
        await sender.until(lambda: longest in sender.configs)


async def test_more_messages_than_can_be_looked_at_do_not_pile_up(tmp_path: Path) -> None:
    many = 10 * HEARD_BOUND
    async with lying(_published(b"x") * many + PING_ME) as liar:
        topic = str(Topic(gateway_id=GATEWAY, channel=Channel.CONFIG))
        async with connected(_settings(liar, tmp_path), topics=[topic], last_words=(topic, b"")) as line:
            await liar.has_answered.wait()
            waiting = await line.next_events(5.0)
    assert HEARD_BOUND / 2 <= len(waiting) <= many / 2
