"""What a meter has said is made durable here, and only here: a record in the outbox, or a frame set aside with its reason.

Nothing is decided about a meter's protocol or its time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import structlog

from gateway.clock import Clock, Timeline
from gateway.errors import OutboxFullError
from gateway.outbox import Outbox
from gateway.outbox_rows import Unbelieved
from gateway.readings import another_id, former_id, to_reading
from gateway.sessions.commands import MeterRecord, SetAside
from gateway.version import installed_version
from vitals.envelope import decode_stored_reading, encode_reading
from vitals.reading import Reading, kind_of

OURS: Final = f"homevigil-{installed_version()}"[:32]
"""What decoded a reading, unless an adapter did."""

SENT_AGAIN_FOR: Final = timedelta(minutes=15)
"""So long a record that was kept may come again as one of just now, because its link broke (engineering choice)."""
PROVISIONAL_S: Final = 30.0
"""A session that has not said its last word on a record by then never will: it says it after three seconds of silence."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Tally:
    """What one session brought."""

    new: int = 0
    repeated: int = 0
    set_aside: int = 0


class Outcome(Enum):
    """What became of a record that was to be kept. `FINISHED`: it had been kept provisionally, and has its final evidence now."""

    NEW = auto()
    FINISHED = auto()
    REPEATED = auto()


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

    async def keep(
        self,
        meter_id: str,
        record: MeterRecord,
        timeline: Timeline,
        tally: Tally,
        *,
        decoder: str,
        is_provisional: bool = False,
    ) -> bool:
        """Make the record durable; whether it is new. A provisional one is sent when it is kept again as final, or the time for
        that is over. Raises `OutboxFullError`, and `MalformedError` for what `decoder`, if it is
        not `OURS`, has made of a record that no server would take."""
        until_s = self._clock.since_boot_s() + PROVISIONAL_S if is_provisional else None
        outcome = await asyncio.to_thread(self._keep, meter_id, record, timeline, decoder, until_s)
        if outcome is not Outcome.REPEATED:
            tally.new += outcome is Outcome.NEW
            self._on_kept()
        else:
            tally.repeated += 1
        return outcome is Outcome.NEW

    async def knows(self, meter_id: str, record: MeterRecord) -> bool:
        """Whether the record has been kept before."""
        return await asyncio.to_thread(self._knows, meter_id, record)

    def _knows(self, meter_id: str, record: MeterRecord) -> bool:
        return self._has_former(meter_id, record) or self._outbox.knows(
            self._reading_of(meter_id, record, OURS).reading_id
        )

    def _has_former(self, meter_id: str, record: MeterRecord) -> bool:
        former = former_id(record, meter_id=meter_id)
        return former is not None and self._outbox.knows(former)

    def _reading_of(self, meter_id: str, record: MeterRecord, decoder: str) -> Reading:
        return to_reading(record, meter_id=meter_id, gateway_id=self._gateway_id, zone=self._zone(), decoder=decoder)

    def _keep(
        self, meter_id: str, record: MeterRecord, timeline: Timeline, decoder: str, until_s: float | None
    ) -> "Outcome":
        reading = self._reading_of(meter_id, record, decoder)
        if decoder != OURS:
            decode_stored_reading(encode_reading(reading))
        is_held = not timeline.is_believed or until_s is not None
        unbelieved = self._unbelieved(record, timeline, until_s) if is_held else None
        log = _log.bind(reading_id=str(reading.reading_id), meter_id=meter_id, gateway_id=self._gateway_id)
        if self._has_former(meter_id, record):
            log.info("reading_repeated")
            return Outcome.REPEATED
        try:
            seq = self._outbox.keep(reading, unbelieved=unbelieved)
        except OutboxFullError as e:
            log.error("reading_refused", why=str(e))  # noqa: TRY400 # no traceback: its locals would say the value
            raise
        kind, time_quality = kind_of(record.measurement), reading.time_quality.value
        if seq is not None:
            log.info("reading_kept", seq=seq, kind=kind, time_quality=time_quality, held=unbelieved is not None)
            return Outcome.NEW
        if until_s is None and self._outbox.finish(reading, unbelieved=unbelieved):
            log.info("reading_finished", kind=kind, time_quality=time_quality)
            return Outcome.FINISHED
        if record.is_just_taken and timeline.is_believed and self._was_kept_before(reading):
            reading = msgspec.structs.replace(reading, reading_id=another_id(record, meter_id=meter_id))
            seq = self._outbox.keep(reading)
            log.info("reading_kept", seq=seq, kind=kind, time_quality=time_quality, held=False)
            return Outcome.NEW
        log.info("reading_repeated")
        return Outcome.REPEATED

    def _was_kept_before(self, reading: Reading) -> bool:
        """Whether the reading of this id is one of an earlier day or hour, and not one that is sent again after a link broke."""
        kept_at = self._outbox.kept_at(reading.reading_id)
        return kept_at is not None and reading.received_at - kept_at > SENT_AGAIN_FOR

    def _unbelieved(self, record: MeterRecord, timeline: Timeline, until_s: float | None) -> Unbelieved:
        ago_s = (timeline.now() - record.evidence.received_at).total_seconds()
        return Unbelieved(
            boot_id=self._clock.boot_id(),
            since_boot_s=self._clock.since_boot_s() - ago_s,
            evidence=record.evidence,
            until_s=until_s,
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
