"""The gateway put together: outbox, collector, uplink, pairing agent, clock and watchdog, each a named task.

Nothing here ends because a part of the world is away: no bus, no adapter, no broker, no time are waited for, with a word in the
log about what to do. It ends when it is cancelled, or for a fault of our own.
"""

import asyncio
import errno
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Never

import structlog

from gateway import log, systemd
from gateway.adapters import load
from gateway.clock import DIFFERS, Clock, Witness
from gateway.collector import Collector
from gateway.config import Settings
from gateway.errors import OutboxFullError
from gateway.health import look_at_machine
from gateway.identity import read_identity
from gateway.lives import Lives
from gateway.outbox import Outbox
from gateway.proof import prove
from gateway.readings import settled
from gateway.remote_config import AppliedConfig
from gateway.renewal import Renewal
from gateway.status import MeterFacts, meter_facts
from gateway.uplink import Uplink
from gateway.user_codes import UserCodes
from gateway.version import installed_version
from gateway.watchdog import feed_watchdog
from vitals.gatt import uuids
from vitals.gatt.link import Radio

if TYPE_CHECKING:
    from gateway.home_assistant import HomeAssistant

LOOK_AT_CLOCK_S: Final = 5.0
UPKEEP_S: Final = 3600.0
SETTLE_AT_A_TIME: Final = 100

_log = structlog.get_logger(__name__)


async def run_gateway(settings: Settings, *, radio: Radio | None = None, clock: Clock | None = None) -> None:
    """Run until cancelled. Without `radio`, the adapter of this machine through BlueZ, and our own pairing agent there.

    Raises `OutboxBusyError` or `OutboxVersionError` at once if the outbox cannot be used.
    """
    clock = clock or Clock()
    with Outbox(settings.outbox, now=clock.now()) as outbox:
        gateway = _Gateway(settings, outbox, clock)
        try:
            await gateway.run(radio)
        except asyncio.CancelledError:
            gateway.told_to_end()
            raise


class _Gateway:
    def __init__(self, settings: Settings, outbox: Outbox, clock: Clock) -> None:
        self._settings, self._outbox, self._clock = settings, outbox, clock
        self._lives = Lives(outbox, boot_id=clock.boot_id(), since_boot_s=clock.since_boot_s())
        self._remote = AppliedConfig(outbox, gateway_id=settings.id)
        self._users = UserCodes(settings.outbox.parent)
        self._take_codes: Callable[[Mapping[str, str]], None] = lambda _: None
        self._describe_radio: Callable[[], dict[str, Any]] = dict
        self._obey()
        self._collector: Collector | None = None
        self._adapters = load([name for name in settings.meter_adapters.split(",") if name])
        self._uplink = Uplink(
            settings=settings,
            outbox=outbox,
            clock=clock,
            describe=self._describe,
            on_config=self._take_config,
            on_time=self._take_time,
            diagnoses=self,
        )
        self._renewal = self._renewal_of_certificate()
        self._time_told = asyncio.Event()
        self._has_said_differs = False
        self._home: HomeAssistant | None = None

    async def run(self, radio: Radio | None) -> None:
        _log.info(
            "gateway_started", gateway_id=self._settings.id, version=installed_version(), epoch=self._outbox.epoch
        )
        async with asyncio.TaskGroup() as group:
            if radio is None:
                radio = self._bluez_radio(group)
            collector = self._collector = Collector(
                radio=radio,
                outbox=self._outbox,
                gateway_id=self._settings.id,
                zone=lambda: self._zone,
                clock=self._clock,
                on_kept=self._wake,
                workers=self._settings.workers,
                adapters=self._adapters,
                users=self._users,
                is_paused=self._is_paused,
            )
            group.create_task(collector.run(), name="collector")
            group.create_task(self._uplink.run(), name="uplink")
            if self._settings.home_mqtt_host is not None:
                self._home = self._home_assistant()
                group.create_task(self._home.run(), name="home-assistant")
            group.create_task(self._settle_when_believable(collector), name="clock")
            group.create_task(self._upkeep(), name="upkeep")
            if self._renewal is not None:
                group.create_task(self._renewal.run(), name="renewal")
            watchdog = feed_watchdog(
                lambda: min(collector.alive_s, self._uplink.alive_s),
                now_s=self._clock.since_boot_s,
                gateway_id=self._settings.id,
            )
            group.create_task(watchdog, name="watchdog")
            group.create_task(prove(lambda: self._uplink.is_connected and collector.totals.is_scanning), name="proof")
            systemd.notify("READY=1")

    def _renewal_of_certificate(self) -> Renewal | None:
        """Only of an identity that enrolment has given; other certificates are whoever made them's to renew."""
        identity = None if self._settings.identity is None else read_identity(self._settings.identity)
        return None if identity is None else Renewal(identity, clock=self._clock, on_renewed=self._uplink.reconnect)

    def _home_assistant(self) -> "HomeAssistant":
        """Imported here: few homes have one."""
        from gateway.home_assistant import HomeAssistant

        return HomeAssistant(
            settings=self._settings,
            outbox=self._outbox,
            clock=self._clock,
            is_wanted=lambda: self._remote.config.home_assistant is not False,
        )

    def _wake(self) -> None:
        """There is something new in the outbox."""
        self._uplink.wake()
        if self._home is not None:
            self._home.wake()

    def told_to_end(self) -> None:
        """It ends because somebody wants it to."""
        self._lives.told_to_end()

    def _bluez_radio(self, group: asyncio.TaskGroup) -> Radio:
        """BlueZ, with the agent that pairs for it. Imported here: a simulated radio needs neither."""
        from gateway.bleak_radio import BleakRadio
        from gateway.pairing_agent import PairingAgent

        agent = PairingAgent(folder=self._settings.outbox.parent)
        also = self._adapters.services | ({uuids.HEART_RATE_SERVICE} if self._settings.heart_rate_straps else set())
        radio = BleakRadio(adapter=self._settings.adapter, agent=agent, also_services=also)
        agent.on_bluez_restart = radio.stack_restarted
        agent.desk.on_arrival = self._hurry
        self._take_codes, self._describe_radio = agent.codes.take_from_clinic, radio.describe
        self._take_codes(self._remote.config.pairing_codes)
        group.create_task(agent.run(), name="pairing-agent")
        group.create_task(radio.care.run(), name="adapter")
        return radio

    def _hurry(self, meter_id: str) -> None:
        """Somebody stands beside this meter and waits: it is not left in peace for its last failures."""
        if self._collector is not None:
            self._collector.hurry(meter_id)

    # -- tasks ---------------------------------------------------------------------------------------------------------

    async def _settle_when_believable(self, collector: Collector) -> Never:
        """Correct the readings that wait for a clock, before they are sent."""
        while True:
            held = await asyncio.to_thread(self._outbox.held, SETTLE_AT_A_TIME)
            if collector.is_clock_believable():
                await asyncio.to_thread(self._lives.dated, self._clock.now(), self._clock.since_boot_s())
            if held and collector.is_clock_believable():
                for one in held:
                    if one.unbelieved.is_awaited(
                        since_boot_s=self._clock.since_boot_s(), boot_id=self._clock.boot_id()
                    ):
                        continue
                    reading = settled(
                        one,
                        now=self._clock.now(),
                        since_boot_s=self._clock.since_boot_s(),
                        boot_id=self._clock.boot_id(),
                    )
                    await asyncio.to_thread(self._outbox.settle, one.seq, reading)
                    _log.info(
                        "reading_settled", reading_id=str(reading.reading_id), time_quality=reading.time_quality.value
                    )
                self._uplink.wake()
            if len(held) < SETTLE_AT_A_TIME:
                await self._rest_until_time()

    async def _rest_until_time(self) -> None:
        """Until the server has told the time, but not for long: NTP may have, or a session that began without has gone on."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AT_CLOCK_S):
                await self._time_told.wait()
        self._time_told.clear()

    async def _upkeep(self) -> Never:
        while True:
            if self._clock.is_believable():
                with suppress(OutboxFullError):  # it says so itself, and the next hour tries again
                    await asyncio.to_thread(self._outbox.purge, now=self._clock.now())
            await asyncio.sleep(UPKEEP_S)

    # -- what others ask -----------------------------------------------------------------------------------------------

    def _describe(self) -> tuple[dict[str, Any], list[MeterFacts]]:
        """For the status message; called in a thread."""
        assert self._collector is not None
        totals, time, since_boot_s = self._collector.totals, self._clock.time(), self._clock.since_boot_s()
        differs_by = time.differs_by
        said = {
            "version": installed_version(),
            "at": time.now.isoformat(),
            "zone": self._zone.key,
            "config": self._remote.describe(),
            "clock": "waiting" if time.witness is None else "believable",
            "time": {"witness": time.witness, "differs_s": None if differs_by is None else differs_by.total_seconds()},
            "outbox": {"epoch": self._outbox.epoch, **asdict(self._outbox.counts())},
            "uplink": {
                "malformed_receipts": self._uplink.malformed_receipts,
                "cautious": self._uplink.is_cautious,
            },
            "radio": {
                "scanning": totals.is_scanning,
                "paused": self._is_paused(),
                "wrong": totals.wrong_with_radio,
                "sessions": totals.sessions,
                "failed_sessions": totals.failed_sessions,
                **self._describe_radio(),
            },
            "certificate": None if self._renewal is None else self._renewal.describe(),
            "adapters": self._adapters.states,
            "home_assistant": None if self._home is None else self._home.is_connected,
            "machine": look_at_machine(self._settings.outbox.parent).describe(),
            "starts": self._lives.describe(time.now, since_boot_s),
        }
        return said, meter_facts(self._outbox.remembered(), totals.meters, now=time.now, since_boot_s=since_boot_s)

    def wanted(self) -> str | None:
        """Whether the clinic wants to know in detail how the box is (`uplink.Diagnoses`)."""
        return self._remote.wanted_diagnostics()

    def answer(self, request: str, max_bytes: int) -> bytes:
        """How it is; called in a thread."""
        from gateway import diagnostics  # nobody asks for it but in need

        assert self._collector is not None
        whole = diagnostics.bundle(
            now=self._clock.now(),
            settings=self._settings,
            status=self._describe()[0],
            remembered=self._outbox.remembered(),
            counted=self._collector.totals.meters,
            lines=log.last_lines(),
            secrets={*self._remote.secrets(), *self._users.secrets()},
            request=request,
        )
        return diagnostics.fitted(whole, max_bytes)

    def sent(self, request: str) -> None:
        self._remote.diagnostics_sent(request)

    def _take_time(self) -> None:
        """The server has told the time: what waits for it need not wait any more."""
        self._time_told.set()
        time = self._clock.time()
        differs = time.witness is Witness.NTP and time.differs_by is not None and abs(time.differs_by) > DIFFERS
        if differs and not self._has_said_differs:
            _log.warning(
                "clock_differs",
                gateway_id=self._settings.id,
                by=str(time.differs_by),
                advice="NTP says otherwise than the server: check the server's time synchronisation, then the gateway's",
            )
        self._has_said_differs = differs

    async def _take_config(self, payload: bytes) -> None:
        time = self._clock.time()
        now = None if time.witness is None else time.now
        if await asyncio.to_thread(self._remote.take, payload, now=now):
            self._obey()

    def _obey(self) -> None:
        """Let what the clinic has set count from now on."""
        self._zone = self._remote.zone(self._settings.zone)
        log.set_level(self._remote.config.log_level or "info")
        self._users.take_from_clinic(self._remote.config.user_codes)
        self._take_codes(self._remote.config.pairing_codes)

    def _is_paused(self) -> bool:
        """Whether the adapter is to be left alone; never for as long as nobody vouches for the time."""
        if self._remote.config.scanning_paused_until is None:
            return False  # asked for each advertisement: nothing dear before this
        time = self._clock.time()
        return time.witness is not None and self._remote.paused_until(time.now) is not None


def advice(e: BaseException) -> str:
    """What to do about an error that ends the gateway, in one line."""
    if isinstance(e, OSError) and e.errno in (errno.EACCES, errno.EROFS, errno.ENOSPC):
        return f"{e}: the folder of the outbox must be writable and have room"
    return str(e)
