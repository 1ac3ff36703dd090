"""Meters that speak no standard profile, through adapters that others write (docs/how-to/add-a-vendor-meter).

Two forms, because makers have two: a `MeterAdapter` is a conversation over our own link, for a meter with a protocol of its own;
a `MeterSource` is anything that reads meters by itself, such as a maker's SDK. Either hands over records with the bytes they
came in, and everything after that (durability, identity, time, repeats) is the gateway's. Only adapters that the settings name
are loaded; one that fails is named in log and status and stops nobody.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final, Never, Protocol, runtime_checkable

import structlog

from gateway.backoff import Backoff
from gateway.sessions.commands import MeterRecord, Script
from gateway.sessions.conversation import Findings, Known
from vitals.gatt.link import LinkError

GROUP: Final = "homevigil.meters"
"""The entry points of an installed package that are adapters: each names a callable that takes nothing and gives one."""
READY: Final = "ready"
RETRY_SOURCE: Final = Backoff(first_s=5.0, longest_s=600.0)

_log = structlog.get_logger(__name__)


@runtime_checkable
class MeterAdapter(Protocol):
    """A kind of meter with a protocol of its own, read over our link.

    `version` goes into every reading as what decoded it. `services` are what such a meter advertises: four hex digits for the
    Bluetooth SIG's numbers, the 36 characters of the UUID in lower case for a maker's own; so are characteristics.
    """

    version: str
    services: frozenset[str]

    def is_for(self, characteristics: frozenset[str]) -> bool:
        """Whether a meter with these is of this kind. It is asked of every meter: say yes only where there is no doubt."""
        ...

    def converse(self, known: Known, findings: Findings) -> Script[None]:
        """The conversation: yields `gateway.sessions.commands`, keeps its records by `Keep`, raises `LinkError` where the meter
        does not go through with it. Pure: no I/O, no clock."""
        ...


class Desk(Protocol):
    """Where a `MeterSource` hands in what it has read."""

    def now(self) -> datetime:
        """The gateway's time, aware. Evidence of time must be made with it."""
        ...

    async def keep(self, meter_id: str, record: MeterRecord) -> bool:
        """Make the record durable; whether it is new. Only after it may the source tell its meter that the record has come.

        Raises `vitals.errors.UnavailableError` if the outbox is full: the record is not kept; and `vitals.errors.MalformedError`
        for a record that no server would take: its bytes are set aside."""
        ...

    async def set_aside(self, meter_id: str, characteristic: str, raw: bytes, reason: str, detail: str) -> None:
        """Keep bytes that are no record, for a person."""
        ...


@runtime_checkable
class MeterSource(Protocol):
    """Something that reads meters by itself, for as long as it runs; `version` as in `MeterAdapter`."""

    version: str

    async def run(self, desk: Desk) -> None:
        """Read until cancelled. What it raises is logged, and it is started again after a while."""
        ...


@dataclass(slots=True, kw_only=True)
class Adapters:
    """What the settings asked for. `states`: for each name, `READY` or what is wrong with it."""

    meters: dict[str, MeterAdapter] = field(default_factory=dict)
    sources: dict[str, MeterSource] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    @property
    def services(self) -> frozenset[str]:
        """What is to be scanned for beside the standard."""
        return frozenset().union(*(each.services for each in self.meters.values()))

    def for_meter(self, characteristics: frozenset[str]) -> str | None:
        """The name of the adapter for a meter with these characteristics; None for a meter of the standard. One that cannot even
        say is not asked again."""
        for name, adapter in tuple(self.meters.items()):
            try:
                if adapter.is_for(characteristics):
                    return name
            except Exception as e:  # noqa: BLE001  # somebody else's code
                self.note_broken(name, e)
                del self.meters[name]
        return None

    def decoder(self, name: str) -> str:
        """What is said of the readings of this adapter: who decoded them."""
        made = self.meters.get(name) or self.sources[name]
        return f"{name}-{made.version}"[:32]

    def converse(self, name: str, known: Known, findings: Findings) -> Script[None]:
        """The conversation of this adapter; a mistake in it becomes a `LinkError`, which ends one session and nothing else."""
        try:
            yield from self.meters[name].converse(known, findings)
            self.states[name] = READY
        except (LinkError, GeneratorExit):
            raise
        except Exception as e:
            self.note_broken(name, e)
            raise LinkError(f"the adapter {name} broke: {words(e)}") from e

    def note_broken(self, name: str, e: Exception) -> None:
        self.states[name] = f"broken: {words(e)}"
        _log.error("adapter_broken", adapter=name, why=words(e))


def load(names: Sequence[str]) -> Adapters:
    """The adapters called so among the entry points of `GROUP`. Never raises: what cannot be had is said in `states`."""
    found = {each.name: each for each in entry_points(group=GROUP)}
    adapters = Adapters()
    for name in names:
        if name not in found:
            adapters.states[name] = f"not installed; there are: {', '.join(sorted(found)) or 'none'}"
            _log.error("adapter_missing", adapter=name, advice=f"install the package that has {name!r} in {GROUP}")
            continue
        try:
            made = found[name].load()()
        except Exception as e:  # noqa: BLE001  # somebody else's code
            adapters.note_broken(name, e)
            continue
        match made:
            case MeterAdapter():
                adapters.meters[name] = made
            case MeterSource():
                adapters.sources[name] = made
            case _:
                adapters.note_broken(name, TypeError("is neither a MeterAdapter nor a MeterSource"))
                continue
        adapters.states[name] = READY
    return adapters


async def run_source(
    name: str, adapters: Adapters, desk: Desk, *, wait: Callable[[float], Any] = asyncio.sleep
) -> Never:
    """Run a source for ever, starting it again when it ends."""
    failures = 0
    while True:
        try:
            await adapters.sources[name].run(desk)
            why = "it ended by itself"
        except Exception as e:  # noqa: BLE001  # somebody else's code
            why = words(e)
        failures += 1
        adapters.states[name] = f"started again {failures} times, the last time because {why}"
        _log.error("adapter_source_ended", adapter=name, why=why, failures=failures)
        await wait(RETRY_SOURCE.delay_s(min(failures, 10)))


def words(e: Exception) -> str:
    """What went wrong and where, without what was measured: a message may quote a value."""
    frames = extract_tb(e.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(e).__name__}{where}"
