"""`python -m faults.feeder SOCKET`: the real gateway, whose air is silent and whose meters are played over SOCKET.

Everything but the radio is the product: outbox, uplink, upkeep, settings, log. A line `NUMBER READING` asks to keep a reading;
the answer `NUMBER kept` comes after `Outbox.keep` has returned, as a meter's confirmation does; `NUMBER full`: the outbox has
refused. `NUMBER+BYTES READING` blows the raw bytes up first. The line `counts` asks for the outbox's own counts.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import msgspec

from gateway import log
from gateway.app import _Gateway
from gateway.clock import Clock
from gateway.config import load_settings
from gateway.errors import OutboxFullError
from gateway.outbox import Outbox
from vitals.envelope import decode_stored_reading
from vitals.gatt.link import Advertisement, Link


class SilentRadio:
    """An adapter that works and hears nobody."""

    @asynccontextmanager
    async def advertisements(self) -> AsyncIterator[AsyncIterator[Advertisement]]:
        yield self._nobody()

    def connect(self, advertisement: Advertisement) -> AbstractAsyncContextManager[Link]:
        raise AssertionError(advertisement)

    async def _nobody(self) -> AsyncIterator[Advertisement]:
        await asyncio.Event().wait()
        yield Advertisement(address="", name=None, services=frozenset())


class Feeder:
    """The end of the socket at the gateway."""

    def __init__(self, outbox: Outbox, gateway: _Gateway) -> None:
        self._outbox, self._gateway = outbox, gateway

    async def run(self, socket: Path) -> NoReturn:
        reader, writer = await asyncio.open_unix_connection(socket)
        while line := await reader.readline():
            writer.write(await self._answer(line.rstrip(b"\n")))
        sys.exit("the campaign has closed the socket")

    async def _answer(self, line: bytes) -> bytes:
        if line == b"counts":
            return b"counts " + msgspec.json.encode(asdict(self._outbox.counts())) + b"\n"
        head, body = line.split(b" ", 1)
        number, _, padding = head.partition(b"+")
        reading = decode_stored_reading(body)
        if padding:
            reading = msgspec.structs.replace(reading, raw=bytes(int(padding)))
        try:
            await asyncio.to_thread(self._outbox.keep, reading)
        except OutboxFullError:
            return number + b" full\n"
        self._gateway._uplink.wake()
        return number + b" kept\n"


async def main(socket: Path) -> None:
    settings, clock = load_settings(), Clock()
    with Outbox(settings.outbox, now=clock.now()) as outbox:
        gateway = _Gateway(settings, outbox, clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.run(SilentRadio()), name="gateway")
            group.create_task(Feeder(outbox, gateway).run(socket), name="feeder")


if __name__ == "__main__":
    log.configure()
    asyncio.run(main(Path(sys.argv[1])))
