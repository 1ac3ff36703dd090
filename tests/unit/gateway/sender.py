"""A gateway's line side for tests: a real outbox and its real uplink, without a radio."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unit.gateway.samples import GATEWAY, NOW, reading

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.config import Settings
from gateway.outbox import Outbox
from gateway.uplink import RECONNECT, Uplink
from homevigil.embedded.broker import EmbeddedBroker


@dataclass
class Sender:
    """A gateway's line side: an outbox and its uplink."""

    outbox: Outbox
    uplink: Uplink
    configs: list[bytes]

    def keep(self, *nths: int) -> None:
        for nth in nths:
            self.outbox.keep(reading(nth))
        self.uplink.wake()

    async def until(self, is_so: Callable[[], bool], within_s: float = 15.0) -> None:
        async with asyncio.timeout(within_s):
            while not is_so():  # noqa: ASYNC110  # a file and a broker give no events
                await asyncio.sleep(0.01)

    async def until_confirmed(self, count: int) -> None:
        await self.until(lambda: self.outbox.counts().confirmed >= count)


@asynccontextmanager
async def sending(
    path: Path, broker: EmbeddedBroker, *, reconnect: Backoff = RECONNECT, clock: Clock | None = None, **more: Any
) -> AsyncIterator[Sender]:
    """Over an open line to `broker`; `more` are settings."""
    settings = Settings(
        id=GATEWAY, zone="Asia/Shanghai", outbox=path, **({"mqtt_host": broker.host, "mqtt_port": broker.port} | more)
    )
    async with sending_by(settings, reconnect=reconnect, clock=clock) as sender:
        yield sender


@asynccontextmanager
async def sending_by(
    settings: Settings, *, reconnect: Backoff = RECONNECT, clock: Clock | None = None
) -> AsyncIterator[Sender]:
    """As the settings say."""
    configs: list[bytes] = []

    async def take(payload: bytes) -> None:
        configs.append(payload)

    with Outbox(settings.outbox, now=NOW) as outbox:
        uplink = Uplink(
            settings=settings,
            outbox=outbox,
            clock=clock or Clock(),
            describe=lambda: ({"outbox": {"unconfirmed": outbox.counts().unconfirmed}}, ()),
            on_config=take,
            reconnect=reconnect,
        )
        task = asyncio.create_task(uplink.run())
        try:
            yield Sender(outbox, uplink, configs)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
