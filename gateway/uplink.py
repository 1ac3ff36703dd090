"""From the outbox to the server over MQTT, and the server's receipts back.

The outbox is the session: a connection that is lost costs nothing but time. A PUBACK confirms nothing; only a receipt does. A
message over the size limit is never published, and one that makes the broker cut the connection is found and put aside.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, Never, Protocol

import structlog

from gateway.backoff import Backoff
from gateway.carrier import Answered, Down, Line, Message, connected
from gateway.caution import STATUS, Caution
from gateway.clock import Clock
from gateway.config import Settings
from gateway.errors import OutboxFullError
from gateway.flights import WINDOW, Flights, pack
from gateway.outbox import Outbox
from gateway.status import MeterFacts, encode_status, encoded
from vitals.envelope import Receipt, decode_receipt
from vitals.errors import MalformedError, UnavailableError
from vitals.topics import Channel, Topic

STATUS_EVERY_S: Final = 60.0
STATUS_WITHOUT_TIME_S: Final = 5.0
"""How often the server is asked for the time while nobody has told it: readings wait for it."""
BARE_STATUS_S: Final = 3600.0
"""For so long a status that has made the broker cut the connection is not said in full again."""
LOOK_AGAIN_S: Final = 5.0
"""How often the outbox is looked at even if nobody has called; a call can get lost with a cancelled session."""
LOOK_AGAIN_WITH_CAUTION_S: Final = 1.0
SILENT_S: Final = 90.0
"""A broker that has not answered a message for three keepalives, on a connection that is said to be up, is not there; nor is,
perhaps, the thread that should have noticed."""
READMIT_EVERY_S: Final = 86400.0
"""How often what was put aside is tried again, beside at every start: somebody may have raised a limit meanwhile."""
RECONNECT: Final = Backoff(first_s=0.5, longest_s=30.0)
OFFLINE: Final = b'{"state":"offline"}'

_log = structlog.get_logger(__name__)


class Diagnoses(Protocol):
    """Who knows whether the clinic has asked how the box is, and what to answer."""

    def wanted(self) -> str | None:
        """The name of an answer that is wanted and has not been sent."""
        ...

    def answer(self, request: str, max_bytes: int) -> bytes:
        """The answer; called in a thread."""
        ...

    def sent(self, request: str) -> None:
        """The broker has it. Called in a thread."""
        ...


class Uplink:
    """One gateway's connection to its broker, for as long as `run` runs.

    `describe` gives what people want to know about the box and its meters, for the status message. `on_config` gets what the
    clinic has set, as it came. `on_time` is called after the server has told the time, each time.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        outbox: Outbox,
        clock: Clock,
        describe: Callable[[], tuple[Mapping[str, Any], Sequence[MeterFacts]]],
        on_config: Callable[[bytes], Awaitable[None]],
        on_time: Callable[[], None] = lambda: None,
        diagnoses: Diagnoses | None = None,
        reconnect: Backoff = RECONNECT,
    ) -> None:
        self._settings, self._outbox, self._clock = settings, outbox, clock
        self._describe, self._on_config, self._reconnect = describe, on_config, reconnect
        self._on_time, self._diagnoses = on_time, diagnoses
        self._answering: tuple[int, str] | None = None
        self._topics = {channel: str(Topic(gateway_id=settings.id, channel=channel)) for channel in Channel}
        self._line: Line | None = None
        self._flights = Flights()
        self._caution = Caution()
        self._unanswered: dict[int, float] = {}
        self._is_line_old = False
        self._status_due_s = 0.0
        self._readmit_due_s = 0.0
        self._bare_status_until_s = 0.0
        self.malformed_receipts = 0
        self.alive_s = clock.since_boot_s()

    @property
    def is_connected(self) -> bool:
        return self._line is not None

    @property
    def is_cautious(self) -> bool:
        """Whether some message has made the broker cut the connection again and again, and which is being found out."""
        return self._caution.is_on

    def wake(self) -> None:
        """There is something new in the outbox. From the event loop only."""
        if self._line is not None:
            self._line.wake()

    def reconnect(self) -> None:
        """Take a new connection, for there is a new certificate. From the event loop only."""
        self._is_line_old = True
        self.wake()

    async def run(self) -> Never:
        failures = 0
        while True:
            self.alive_s = self._clock.since_boot_s()
            try:
                async with self._connection() as line:
                    failures = 0
                    self._line = line
                    await self._serve(line)
            except (OSError, UnavailableError) as e:
                failures += 1
                _log.warning("uplink_failed", gateway_id=self._settings.id, why=str(e), failures=failures)
            finally:
                self._line = None
            self._flights.connection_lost()
            self._caution.lost(is_cut=False)
            await asyncio.sleep(self._reconnect.delay_s(max(1, failures), random.random()))

    def _connection(self) -> AbstractAsyncContextManager[Line]:
        listens = (self._topics[Channel.RECEIPTS], self._topics[Channel.CONFIG])
        return connected(
            self._settings,
            topics=listens,
            last_words=(self._topics[Channel.STATUS], OFFLINE),
            is_time_known=self._clock.is_believable(),
        )

    # -- sending and confirming ----------------------------------------------------------------------------------------

    async def _serve(self, line: Line) -> None:
        _log.info("uplink_connected", gateway_id=self._settings.id)
        self._status_due_s = 0.0
        self._unanswered.clear()
        self._answering = None
        self._is_line_old = False
        while True:
            now_s = self.alive_s = self._clock.since_boot_s()
            if self._is_line_old:
                raise UnavailableError("a new connection is wanted, with the new certificate")
            await self._readmit(now_s)
            await self._send_status(line, now_s)
            await self._send_diagnosis(line)
            await self._send_readings(line, now_s)
            for event in await line.next_events(self._pause_s()):
                match event:
                    case Down(why=why, is_cut=is_cut):
                        await self._note_loss(is_cut=is_cut)
                        raise UnavailableError(f"the connection to the broker is gone: {why}")
                    case Message(topic=topic, payload=payload):
                        await self._take(topic, payload)
                    case Answered(number=number):
                        self._unanswered.pop(number, None)
                        await self._note_answered(number)
                        self._caution.answered(number)
            self._check_silence()

    def _check_silence(self) -> None:
        if not self._unanswered:
            return
        silent_s = self._clock.since_boot_s() - min(self._unanswered.values())
        if silent_s > SILENT_S:
            raise UnavailableError(f"the broker has left a message unanswered for {silent_s:.0f} s")

    def _pause_s(self) -> float:
        """Until it is time to look again."""
        now_s = self._clock.since_boot_s()
        resend_s = self._flights.next_due_in_s(now_s)
        look_s = LOOK_AGAIN_WITH_CAUTION_S if self._caution.is_on else LOOK_AGAIN_S
        return min(look_s, max(0.0, self._status_due_s - now_s), look_s if resend_s is None else resend_s)

    async def _send_readings(self, line: Line, now_s: float) -> None:
        waiting = await asyncio.to_thread(self._outbox.unconfirmed, WINDOW)
        due = self._flights.due(waiting, now_s)
        if self._caution.is_on:
            due = self._caution.next_alone(due, waiting, now_s)
        if not due:
            return
        topic = self._topics[Channel.READINGS]
        parcels, oversize = pack(
            due, gateway_id=self._settings.id, epoch=self._outbox.epoch, max_bytes=line.max_payload_bytes(topic)
        )
        for seq in oversize:
            await self._put_aside(seq, "oversize")
        for parcel in parcels:
            if not self._publish(line, topic, parcel.payload, seqs=parcel.seqs):
                return  # these rows stay due
            self._flights.published(parcel.seqs, now_s)
        _log.debug("readings_sent", gateway_id=self._settings.id, rows=len(due), parcels=len(parcels))

    async def _readmit(self, now_s: float) -> None:
        """Let what was put aside wait again, when it is time."""
        if now_s < self._readmit_due_s:
            return
        self._readmit_due_s = now_s + READMIT_EVERY_S
        with suppress(OutboxFullError):  # it says so itself
            await asyncio.to_thread(self._outbox.readmit)

    async def _send_status(self, line: Line, now_s: float) -> None:
        if now_s < self._status_due_s:
            return
        asks = {"epoch": self._outbox.epoch, "question": self._clock.question()}
        payload, topic = encoded({"state": "online", "asks": asks}), self._topics[Channel.STATUS]
        if now_s >= self._bare_status_until_s:
            said, meters = await asyncio.to_thread(self._describe)
            whole = {"state": "online", "asks": asks, **said}
            payload = encode_status(whole, meters, max_bytes=line.max_payload_bytes(topic))
        if self._publish(line, topic, payload, seqs=(STATUS,), retain=True):
            self._status_due_s = now_s + (STATUS_EVERY_S if self._clock.is_believable() else STATUS_WITHOUT_TIME_S)

    async def _send_diagnosis(self, line: Line) -> None:
        """Once for each time that the clinic asks; again on the next connection if the broker has not taken it on this one."""
        request = None if self._diagnoses is None or self._answering is not None else self._diagnoses.wanted()
        if request is None or self._diagnoses is None:
            return
        topic = self._topics[Channel.DIAGNOSTICS]
        payload = await asyncio.to_thread(self._diagnoses.answer, request, line.max_payload_bytes(topic))
        number = line.publish(topic, payload)
        if number is not None:
            self._answering = (number, request)
            _log.info("diagnosis_sent", gateway_id=self._settings.id, request=request, size=len(payload))

    async def _note_answered(self, number: int) -> None:
        if self._answering is None or self._diagnoses is None or self._answering[0] != number:
            return
        request, self._answering = self._answering[1], None
        await asyncio.to_thread(self._diagnoses.sent, request)

    def _publish(self, line: Line, topic: str, payload: bytes, *, seqs: Iterable[int], retain: bool = False) -> bool:
        number = line.publish(topic, payload, retain=retain)
        if number is not None:
            self._unanswered[number] = self._clock.since_boot_s()
            self._caution.published(number, seqs, self._clock.since_boot_s())
        return number is not None

    async def _note_loss(self, *, is_cut: bool) -> None:
        was_on = self._caution.is_on
        culprit = self._caution.lost(is_cut=is_cut)
        if self._caution.is_on and not was_on:
            _log.warning("uplink_cautious", gateway_id=self._settings.id, advice="the broker cuts the connection")
        if culprit == STATUS:
            self._bare_status_until_s = self._clock.since_boot_s() + BARE_STATUS_S
            _log.error("status_cuts_connection", gateway_id=self._settings.id, advice="check the broker's size limits")
        elif culprit is not None:
            await self._put_aside(culprit, "cuts_connection")

    async def _put_aside(self, seq: int, reason: str) -> None:
        advice = "check the broker's size limits; it is tried again every day"
        _log.error("reading_unsendable", gateway_id=self._settings.id, seq=seq, reason=reason, advice=advice)
        await asyncio.to_thread(self._outbox.reject, seq, reason)

    # -- what comes ----------------------------------------------------------------------------------------------------

    async def _take(self, topic: str, payload: bytes) -> None:
        if topic == self._topics[Channel.RECEIPTS]:
            await self._take_receipt(payload)
        elif topic == self._topics[Channel.CONFIG]:
            await self._take_config(payload)
        else:
            _log.warning("message_ignored", gateway_id=self._settings.id, topic=topic)

    async def _take_receipt(self, payload: bytes) -> None:
        try:
            receipt = decode_receipt(payload)
        except MalformedError as e:
            self.malformed_receipts += 1
            _log.warning("receipt_malformed", gateway_id=self._settings.id, reason=e.reason)
            return
        self._take_time(receipt)
        if not receipt.names_something:
            return
        changed = await asyncio.to_thread(self._outbox.apply, receipt, now=self._clock.now())
        if changed:
            self._caution.progressed()
        for rejection in receipt.rejected:
            _log.warning("reading_rejected", gateway_id=self._settings.id, seq=rejection.seq, reason=rejection.reason)
        _log.info("receipt_applied", gateway_id=self._settings.id, upto=receipt.upto, changed=changed)

    def _take_time(self, receipt: Receipt) -> None:
        if receipt.asked is None or receipt.at is None:
            return
        was_known = self._clock.is_believable()
        if not self._clock.learn(receipt.asked, receipt.at):
            _log.info("time_not_heeded", gateway_id=self._settings.id, asked=receipt.asked, told=receipt.at.isoformat())
            return
        if not was_known:
            _log.info("time_learned", gateway_id=self._settings.id, now=self._clock.now().isoformat())
            self._status_due_s = 0.0  # let the clinic see at once that nothing waits for the time any more
        self._on_time()

    async def _take_config(self, payload: bytes) -> None:
        if not payload:
            return  # a retained message taken back
        await self._on_config(payload)
        self._status_due_s = 0.0  # let the clinic see at once what has become of it
