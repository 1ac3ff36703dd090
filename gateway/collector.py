"""Drives sessions over links: hears meters, connects, reads, keeps. Decides nothing about a meter's protocol or its time.

A reading is durable in the outbox before its session goes on; a session that breaks leaves what it has kept. A meter that the
clinic does not know is read too: whose it is, is the server's question.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Final, Never
from zoneinfo import ZoneInfo

import structlog

from gateway.adapters import Adapters, run_source
from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.driving import Hands, SourceDesk, drive
from gateway.keeping import Keeper, Tally
from gateway.outbox import Outbox
from gateway.outbox_rows import MeterMemory
from gateway.rota import Rota
from gateway.sessions.conversation import Findings, Known, converse, set_late_aside, take_late
from gateway.sessions.quirks import STANDARD
from gateway.sessions.record_access import BEGUN
from gateway.sessions.shared_meter import NOBODY, UserFindings, Users
from gateway.totals import Totals
from gateway.user_codes import UserCodes
from vitals.errors import MalformedError, UnavailableError
from vitals.gatt import uuids
from vitals.gatt.link import Advertisement, Link, LinkError, Notified, Radio

SESSION_S: Final = 300.0
"""The longest session: a full glucometer reports a thousand records in about a minute; a stuck link must not hold a worker."""
LOOK_AROUND_S: Final = 10.0
"""How often a loop that has nothing to do shows that it is alive."""
RETRY_SCAN: Final = Backoff(first_s=1.0, longest_s=30.0)

_log = structlog.get_logger(__name__)


class Collector:
    """The gateway's Bluetooth side. `on_kept` is called, on the loop, after each new reading."""

    def __init__(
        self,
        *,
        radio: Radio,
        outbox: Outbox,
        gateway_id: str,
        zone: Callable[[], ZoneInfo],
        clock: Clock,
        on_kept: Callable[[], None],
        workers: int = 2,
        is_paused: Callable[[], bool] = lambda: False,
        adapters: Adapters | None = None,
        users: UserCodes | None = None,
    ) -> None:
        """`is_paused`: whether the adapter is to be left alone for now; what is being read is read to its end."""
        self._is_paused = is_paused
        self._radio, self._outbox, self._clock = radio, outbox, clock
        self._gateway_id, self._zone = gateway_id, zone
        self._keeper = Keeper(outbox=outbox, gateway_id=gateway_id, zone=zone, clock=clock, on_kept=on_kept)
        self._workers = workers
        self._adapters = Adapters() if adapters is None else adapters
        self._users = users
        self._rota = Rota(outbox.givers(), workers=workers)
        self._changed = asyncio.Event()
        self.totals = Totals()
        names = ("scan", *(f"read-{nth + 1}" for nth in range(workers)))
        self._alive_s = dict.fromkeys(names, clock.since_boot_s())

    async def run(self) -> Never:
        """Scan and read until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._scan(), name="scan")
            for nth in range(self._workers):
                group.create_task(self._work(f"read-{nth + 1}"), name=f"read-{nth + 1}")
            for name in self._adapters.sources:
                desk = SourceDesk(self._keeper, self._adapters.decoder(name), Tally())
                group.create_task(run_source(name, self._adapters, desk), name=f"source-{name}")
        raise AssertionError("the tasks above never end by themselves")

    # -- hearing -------------------------------------------------------------------------------------------------------

    async def _scan(self) -> Never:
        failures = 0
        while True:
            self._turned("scan")
            if self._is_paused():
                await asyncio.sleep(LOOK_AROUND_S)
                continue
            try:
                async with self._radio.advertisements() as advertisements:
                    _log.info("scan_started", gateway_id=self._gateway_id)
                    self.totals.is_scanning, self.totals.wrong_with_radio, failures = True, None, 0
                    await self._listen(advertisements)
                failures += not self._is_paused()
            except (LinkError, UnavailableError) as e:
                failures += 1
                self.totals.wrong_with_radio = str(e)
                _log.warning("scan_failed", gateway_id=self._gateway_id, why=str(e), failures=failures)
            self.totals.is_scanning = False
            await asyncio.sleep(RETRY_SCAN.delay_s(failures, random.random()))

    async def _listen(self, advertisements: AsyncIterator[Advertisement]) -> None:
        """Note who is heard, until the scan ends or the adapter is to be left alone. A home without meters is silent: the loop
        turns all the same, and shows that it does."""
        coming: asyncio.Future[Advertisement | None] | None = None
        try:
            while not self._is_paused():
                self._turned("scan")
                coming = coming or asyncio.ensure_future(_next(advertisements))
                await asyncio.wait({coming}, timeout=LOOK_AROUND_S)
                if not coming.done():
                    continue
                advertisement, coming = coming.result(), None
                if advertisement is None:
                    return
                self._hear(advertisement)
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})

    def _hear(self, advertisement: Advertisement) -> None:
        now_s = self._clock.since_boot_s()
        self._rota.heard(advertisement, now_s)
        self.totals.of(advertisement.address.upper()).heard_s = now_s
        self._changed.set()

    def hurry(self, meter_id: str) -> None:
        """Read this meter as soon as it is heard, whatever became of it before."""
        self._rota.hurry(meter_id)
        self._changed.set()

    def _turned(self, loop: str) -> None:
        self._alive_s[loop] = self._clock.since_boot_s()

    @property
    def alive_s(self) -> float:
        """When the loop that has not come round for longest last did, in seconds since boot."""
        return min(self._alive_s.values())

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _work(self, name: str) -> Never:
        while True:
            self._turned(name)
            now_s = self._alive_s[name]
            self._changed.clear()
            advertisement = None if self._is_paused() else self._rota.next_due(now_s)
            if advertisement is not None:
                await self._read_meter(advertisement)
                continue
            rest_s = None if self._is_paused() else self._rota.wake_in_s(now_s)
            try:
                async with asyncio.timeout(LOOK_AROUND_S if rest_s is None else min(rest_s, LOOK_AROUND_S)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _read_meter(self, advertisement: Advertisement) -> None:
        meter_id = advertisement.address.upper()
        log = _log.bind(meter_id=meter_id, gateway_id=self._gateway_id)
        tally, why, rest_s, is_endless = Tally(), "ended", None, False
        try:
            rest_s = await self._hold_session(advertisement, meter_id, tally)
            why = ""
            log.info("session_ended", new=tally.new, repeated=tally.repeated, set_aside=tally.set_aside)
        except (LinkError, UnavailableError) as e:
            code, why = getattr(e, "code", None), str(e)
            log.warning("session_failed", why=why, code=code, new=tally.new, repeated=tally.repeated)
        except TimeoutError:
            why, is_endless = f"not done after {SESSION_S:.0f} s", True
            log.warning("session_failed", why=why, new=tally.new)
        finally:
            self._note_end(advertisement.address, tally, why, rest_s, is_endless=is_endless)

    def _note_end(
        self, address: str, tally: Tally, why: str, rest_s: float | None, *, is_endless: bool = False
    ) -> None:
        """The session is over; `why` it failed, or nothing, and how long the meter wants to rest if it did not."""
        failed = bool(why)
        self._rota.ended(
            address,
            self._clock.since_boot_s(),
            failed=failed,
            new_records=tally.new,
            endless=is_endless,
            fraction=random.random(),
            wanted_rest_s=rest_s,
        )
        totals = self.totals
        totals.sessions += 1
        totals.failed_sessions += failed
        totals.kept += tally.new
        totals.repeated += tally.repeated
        totals.set_aside += tally.set_aside
        meter = totals.of(address.upper())
        meter.sessions += 1
        meter.failed += failed
        meter.failed_in_a_row = meter.failed_in_a_row + 1 if failed else 0
        meter.why = why or meter.why
        meter.kept += tally.new
        self._changed.set()

    async def _hold_session(self, advertisement: Advertisement, meter_id: str, tally: Tally) -> float | None:
        """One session from its link to what is remembered of it; how long the meter wants to be left in peace."""
        findings = Findings()
        timeline = self._keeper.timeline()
        hands = Hands(meter_id, self._keeper, tally, timeline)
        link: Link | None = None
        users = NOBODY
        try:
            async with asyncio.timeout(SESSION_S), self._radio.connect(advertisement) as link:
                memory = await asyncio.to_thread(self._outbox.recall, meter_id)
                theirs = self._adapters.for_meter(link.characteristics)
                users = NOBODY if theirs is not None else await self._users_of(meter_id, link)
                known = Known(
                    characteristics=link.characteristics,
                    zone=self._zone(),
                    name=advertisement.name,
                    highest_sequence=memory.highest_sequence,
                    about=memory.about,
                    is_clock_believable=timeline.is_believed,
                    clock=memory.clock,
                    users=users,
                )
                if theirs is None:
                    script = converse(known, findings)
                else:
                    hands = replace(hands, decoder=self._adapters.decoder(theirs), adapter=theirs)
                    script = self._adapters.converse(theirs, known, findings)
                await drive(script, partial(hands.do, link))
        finally:
            if link is not None:
                await self._take_leftovers(link, findings, hands)
            await self._note_users(meter_id, users, findings.users, tally)
            if findings.has_pending_clock or findings.is_report_open:
                await self._remember_half(memory, findings, tally)
        if findings.was_unsteady:
            self.totals.of(meter_id).unsteady += 1
            _log.info("stream_never_steady", meter_id=meter_id, gateway_id=self._gateway_id)
        if findings.quirk is not STANDARD:
            remark = findings.quirk.unverified or findings.quirk.remark
            _log.info("odd_meter", meter_id=meter_id, entry=findings.quirk.id, remark=remark)
        await self._remember(memory, findings)
        return findings.rest_s

    async def _users_of(self, meter_id: str, link: Link) -> Users:
        """Whom a shared meter is to be asked for, and the user that it is to make if a person wants one; nobody, where the
        file of them cannot be read."""
        if self._users is None or uuids.USER_CONTROL not in link.characteristics:
            return NOBODY
        try:
            users = await asyncio.to_thread(self._users.of, meter_id)
            boot_id, since_boot_s = self._clock.boot_id(), self._clock.since_boot_s()
            new = await asyncio.to_thread(
                self._users.take_up_wish, meter_id, boot_id=boot_id, since_boot_s=since_boot_s
            )
        except (MalformedError, OSError) as e:
            _log.warning("user_codes_unreadable", meter_id=meter_id, why=str(e))
            return NOBODY
        return replace(users, new=new).in_order(self.totals.of(meter_id).users or {})

    async def _note_users(self, meter_id: str, users: Users, found: UserFindings, tally: Tally) -> None:
        """What became of whom; nothing new of a session that did not come so far."""
        if users.new is not None and self._users is not None:
            outcome, index = found.registering, found.registered
            try:
                await asyncio.to_thread(self._users.note_wish, meter_id, users.new, outcome, index)
            except (MalformedError, OSError) as e:
                _log.warning("user_not_noted", meter_id=meter_id, index=index, why=str(e))
        if not found.was_asked:
            return
        meter = self.totals.of(meter_id)
        meter.asks_for_user = found.is_asking and not (tally.new or tally.repeated)
        meter.users = found.told()
        if meter.asks_for_user:
            advice = "tell it a user's number and code: homevigil gateway user METER NUMBER CODE"
            _log.warning("meter_asks_for_user", meter_id=meter_id, gateway_id=self._gateway_id, advice=advice)

    async def _take_leftovers(self, link: Link, findings: Findings, hands: Hands) -> None:
        """What a cuff sent while we were leaving has been confirmed to it by the stack: it will not send it again."""
        while True:
            try:
                event = await link.event(0)
            except LinkError:
                return
            if not isinstance(event, Notified):
                return
            if hands.adapter is None:
                script = take_late(event, findings, received_at=hands.timeline.now())
            else:
                script = set_late_aside(event, hands.adapter)
            await drive(script, partial(hands.do, link))

    async def _remember_half(self, before: MeterMemory, findings: Findings, tally: Tally) -> None:
        """What the next session must know of one that broke off."""
        has_begun = before.highest_sequence is None and findings.is_report_open and tally.new > 0
        memory = replace(
            before,
            highest_sequence=BEGUN if has_begun else before.highest_sequence,
            clock=findings.clock_memory if findings.has_pending_clock and findings.clock_memory else before.clock,
        )
        if memory != before:
            await asyncio.to_thread(self._outbox.remember, memory, now=self._clock.now())

    async def _remember(self, before: MeterMemory, findings: Findings) -> None:
        highest = before.highest_sequence if findings.highest_sequence is None else findings.highest_sequence
        memory = MeterMemory(
            meter_id=before.meter_id,
            highest_sequence=highest,
            about=findings.about,
            battery_percent=findings.battery_percent,
            clock=findings.clock_memory or before.clock,
        )
        now = self._clock.now()
        await asyncio.to_thread(self._outbox.remember, memory, now=now)
        self.totals.of(before.meter_id).clock = findings.clock_care.value
        self.totals.of(before.meter_id).worn = None if findings.worn is None else findings.worn.told()

    def is_clock_believable(self) -> bool:
        return self._clock.is_believable()


async def _next(advertisements: AsyncIterator[Advertisement]) -> Advertisement | None:
    return await anext(advertisements, None)
