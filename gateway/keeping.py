"""What a meter has said is made durable here, and only here: a record in the outbox, or a frame set aside with its reason.

Nothing is decided about a meter's protocol or its time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from gateway.clock import Clock, Timeline
from gateway.errors import OutboxFullError
from gateway.outbox import Outbox
from gateway.outbox_rows import Unbelieved
from gateway.readings import to_reading
from gateway.sessions.commands import MeterRecord, SetAside
from gateway.version import installed_version
from vitals.envelope import decode_stored_reading, encode_reading
from vitals.reading import Reading, kind_of

OURS: Final = f"homevigil-{installed_version()}"[:32]
"""What decoded a reading, unless an adapter did."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Tally:
    """What one session brought."""

    new: int = 0
    repeated: int = 0
    set_aside: int = 0


class Keeper:
    """Keeps what meters say. `on_kept` is called, on the loop, after each new reading."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        gateway_id: str,
        zone: Callable[[], ZoneInfo],
        clock: Clock,
        on_kept: Callable[[], None],
    ) -> None:
        self.clock = clock
        self._outbox, self._clock = outbox, clock
        self._gateway_id, self._zone, self._on_kept = gateway_id, zone, on_kept

    def timeline(self) -> Timeline:
        """The instants of a session that begins now."""
        return self._clock.timeline(is_believed=self._clock.is_believable())

    async def keep(self, meter_id: str, record: MeterRecord, timeline: Timeline, tally: Tally, *, decoder: str) -> bool:
        """Make the record durable; whether it is new. Raises `OutboxFullError`, and `MalformedError` for what `decoder`, if it is
        not `OURS`, has made of a record that no server would take."""
        is_new = await asyncio.to_thread(self._keep, meter_id, record, timeline, decoder)
        if is_new:
            tally.new += 1
            self._on_kept()
        else:
            tally.repeated += 1
        return is_new

    async def knows(self, meter_id: str, record: MeterRecord) -> bool:
        """Whether the record has been kept before."""
        return await asyncio.to_thread(self._knows, meter_id, record)

    def _knows(self, meter_id: str, record: MeterRecord) -> bool:
        return self._outbox.knows(self._reading_of(meter_id, record, OURS).reading_id)

    def _reading_of(self, meter_id: str, record: MeterRecord, decoder: str) -> Reading:
        return to_reading(record, meter_id=meter_id, gateway_id=self._gateway_id, zone=self._zone(), decoder=decoder)

    def _keep(self, meter_id: str, record: MeterRecord, timeline: Timeline, decoder: str) -> bool:
        reading = self._reading_of(meter_id, record, decoder)
        if decoder != OURS:
            decode_stored_reading(encode_reading(reading))
        unbelieved = None if timeline.is_believed else self._unbelieved(record, timeline)
        log = _log.bind(reading_id=str(reading.reading_id), meter_id=meter_id, gateway_id=self._gateway_id)
        try:
            seq = self._outbox.keep(reading, unbelieved=unbelieved)
        except OutboxFullError as e:
            log.error("reading_refused", why=str(e))  # noqa: TRY400 # no traceback: its locals would say the value
            raise
        if seq is None:
            log.info("reading_repeated")
        else:
            kind, time_quality = kind_of(record.measurement), reading.time_quality.value
            log.info("reading_kept", seq=seq, kind=kind, time_quality=time_quality, held=unbelieved is not None)
        return seq is not None

    def _unbelieved(self, record: MeterRecord, timeline: Timeline) -> Unbelieved:
        ago_s = (timeline.now() - record.evidence.received_at).total_seconds()
        return Unbelieved(
            boot_id=self._clock.boot_id(),
            since_boot_s=self._clock.since_boot_s() - ago_s,
            evidence=record.evidence,
        )

    async def set_aside(self, meter_id: str, frame: SetAside, tally: Tally) -> None:
        """Keep a frame that is no record."""
        tally.set_aside += 1
        _log.warning("frame_set_aside", meter_id=meter_id, characteristic=frame.characteristic, reason=frame.reason)
        await asyncio.to_thread(
            self._outbox.set_aside,
            reason=frame.reason,
            detail=frame.detail,
            meter_id=meter_id,
            characteristic=frame.characteristic,
            raw=frame.raw,
            now=self._clock.now(),
        )
