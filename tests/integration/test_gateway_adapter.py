"""An adapter that is ill, through the whole radio side: the gateway says what is wrong, climbs its ladder, and reads on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import BusType, Message, Variant
from dbus_fast.aio import MessageBus
from fix_meters import VirtualAir
from gateway_box import Box, box, inflate, prick

from firmware_sims.bluez_bridge import Bridge
from firmware_sims.bluez_device import Timing
from firmware_sims.bluez_troubles import Cure
from gateway.adapter import REQUEST
from gateway.backoff import Backoff
from gateway.bonds import HINTS
from gateway.deadline import Deadlines, left_behind
from gateway.ladder import Patience

pytestmark = pytest.mark.radio

AT_ONCE = Timing(disconnect_delay_s=0.0)
HASTE = Patience(
    scans_failed=2,
    connects_failed=3,
    quiet_s=0.6,
    help_s=(3.0, 3.0, 3.0, 3.0),
    rounds=Backoff(first_s=0.5, longest_s=1.0),
)
"""A home's patience, a thousand times shorter; power off and on alone takes a second, and a scan that failed rests as long."""
SHORT = Deadlines(connect_s=0.7, pair_s=0.7, verb_s=0.7, subscribe_s=0.7, leave_s=0.7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@asynccontextmanager
async def ill_box(path: Path, air: VirtualAir, **options: Any) -> AsyncIterator[Box]:
    options = {"patience": HASTE, "requests": path.parent, "call_s": 0.7, "look_s": 0.05, "listen_s": 0.3} | options
    async with box(path, air, **options) as home:
        yield home


def ladder(home: Box) -> dict[str, Any]:
    facts: dict[str, Any] = home.radio.describe()["ladder"]
    return facts


async def set_powered(is_on: bool) -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    await bus.call(
        Message(
            destination="org.bluez",
            path="/org/bluez/hci0",
            interface="org.freedesktop.DBus.Properties",
            member="Set",
            signature="ssv",
            body=["org.bluez.Adapter1", "Powered", Variant("b", is_on)],
        )
    )
    bus.disconnect()
    await asyncio.wait({asyncio.ensure_future(bus.wait_for_disconnect())})


async def test_an_adapter_that_somebody_switched_off_is_switched_on_again(air: VirtualAir, path: Path) -> None:
    meter = await air.put("blood_pressure")
    async with ill_box(path, air) as home:
        await home.until_scanning()
        await set_powered(False)
        await home.until(lambda: "switched off" in (home.collector.totals.wrong_with_radio or ""))
        inflate(meter)
        await home.until_kept(1, within_s=60)
        assert ladder(home)["state"] == "calm"
        assert ladder(home)["tried"]["power"] >= 1


@pytest.mark.bridge
async def test_a_blocked_adapter_says_rfkill_and_asks_root_for_help(virtual_air: VirtualAir, path: Path) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    meter = await virtual_air.put("blood_pressure")
    async with ill_box(path, virtual_air) as home:
        await home.until_scanning()
        await bridge.block()
        await home.until(lambda: "rfkill unblock bluetooth" in (ladder(home)["wrong"] or ""))
        await home.until(lambda: (path.parent / REQUEST).exists())
        assert (path.parent / REQUEST).read_text() == "reset hci0\n"
        bridge.unblock()  # as the reset does
        inflate(meter)
        await home.until_kept(1, within_s=60)


@pytest.mark.bridge
async def test_a_stick_that_is_pulled_out_is_missed_and_read_with_when_it_is_back(
    virtual_air: VirtualAir, path: Path
) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    meter = await virtual_air.put("blood_pressure")
    async with ill_box(path, virtual_air) as home:
        await home.until_scanning()
        await bridge.unplug()
        await home.until(lambda: "hci0 is not there; there is no other" in (ladder(home)["wrong"] or ""))
        await bridge.plug_in("hci1")
        await home.until(lambda: "there is hci1: set HOMEVIGIL_GATEWAY_ADAPTER" in (ladder(home)["wrong"] or ""))
        await bridge.unplug()
        await bridge.plug_in("hci0")
        inflate(meter)
        await home.until_kept(1, within_s=60)
        assert ladder(home)["wrong"] is None


@pytest.mark.bridge
async def test_another_adapter_than_the_first_is_used_if_the_settings_say_so(
    virtual_air: VirtualAir, path: Path
) -> None:
    bridge = Bridge(virtual_air.link, timing=AT_ONCE, adapter="hci1")
    async with bridge:
        meter = await virtual_air.put("blood_pressure")
        inflate(meter)
        async with ill_box(path, virtual_air, adapter="hci1") as home:
            await home.until_kept(1)


@pytest.mark.bridge
@pytest.mark.parametrize("cure", [Cure.SCAN, Cure.POWER, pytest.param(Cure.RESET, marks=pytest.mark.full)])
async def test_a_deaf_adapter_is_cured_by_the_first_rung_that_helps(
    virtual_air: VirtualAir, path: Path, cure: Cure
) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    neighbour, meter = await virtual_air.put("glucose"), await virtual_air.put("blood_pressure")
    prick(neighbour)
    async with ill_box(path, virtual_air) as home:
        await home.until_kept(1)
        home.radio.care.ladder.listened(3, 1e9)  # neighbours are heard, as in a town, until a time that never comes
        home.radio.care.ladder.heard(0.0)
        bridge.troubles.deaf_until = cure
        inflate(meter)
        resetting = asyncio.create_task(_root(home, path, bridge))
        await home.until_kept(2, within_s=60)
        resetting.cancel()
        await asyncio.gather(resetting, return_exceptions=True)
        assert cure in bridge.troubles.cures
        assert max(bridge.troubles.cures) is cure
        await home.until(lambda: ladder(home)["state"] == "calm")


async def _root(home: Box, path: Path, bridge: Bridge) -> None:
    """The program that systemd starts for a request, as far as the bridge can tell."""
    while True:
        await home.until(lambda: (path.parent / REQUEST).exists(), within_s=60)
        if (path.parent / REQUEST).read_text() == "reset hci0\n":
            await bridge.reset()
        (path.parent / REQUEST).unlink()


@pytest.mark.bridge
async def test_discovery_that_is_stuck_in_progress_is_cured_by_power(virtual_air: VirtualAir, path: Path) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    bridge.troubles.stuck_until = Cure.POWER
    meter = await virtual_air.put("blood_pressure")
    inflate(meter)
    async with ill_box(path, virtual_air) as home:
        await home.until_kept(1, within_s=60)
        assert bridge.troubles.cures.count(Cure.POWER) == 1
        assert ladder(home)["tried"] == {"power": 1}


@pytest.mark.bridge
async def test_connections_that_all_fail_are_cured_by_power_and_cost_no_bond(
    virtual_air: VirtualAir, path: Path
) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    bridge.troubles.refuses_connects_until = Cure.POWER
    for index in (1, 2):
        inflate(await virtual_air.put("blood_pressure", index))
    async with ill_box(path, virtual_air) as home:
        await home.until_kept(2, within_s=60)
        assert ladder(home)["tried"]["power"] >= 1
        assert home.radio.bonds.removed == 0


OFTEN = ("StartDiscovery", "Connect", "ReadValue")
"""Of every merge; the others take the same way and more time than that is worth."""
HANGS = (
    *(
        "SetDiscoveryFilter",
        "StartDiscovery",
        "StopDiscovery",
        "GetManagedObjects",
        "Get",
        "Set",
        "Connect",
        "Disconnect",
    ),
    *("Pair", "ReadValue", "WriteValue", "StartNotify", "RegisterAgent", "RequestDefaultAgent", "RemoveDevice"),
)


@pytest.mark.bridge
@pytest.mark.parametrize(
    "member", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.full) for name in HANGS]
)
async def test_a_call_that_is_never_answered_ends_by_its_deadline_and_the_next_meter_is_read(
    virtual_air: VirtualAir, path: Path, member: str
) -> None:
    bridge = await virtual_air.bridge_with(AT_ONCE)
    first, second = await virtual_air.put("glucose"), await virtual_air.put("blood_pressure")
    quiet = Patience(quiet_s=1000.0, scans_failed=1000, connects_failed=1000)
    deadlines = Deadlines() if member == "RemoveDevice" else SHORT  # a second attempt to connect takes its time
    patience = HASTE if member == "StopDiscovery" else quiet  # a scan that BlueZ did not end is ended by the power
    async with ill_box(path, virtual_air, workers=1, deadlines=deadlines, patience=patience) as home:
        bridge.troubles.unanswered.add(member)
        prick(first)
        await home.until(lambda: _has_gone_on(home), within_s=20)
        if member == "StopDiscovery":
            home.radio.restart_scan("for the test")
            await home.until(lambda: home.collector.totals.wrong_with_radio is not None)
        if member == "RemoveDevice":
            await first.forget_bond()
            prick(first)
            await home.until(lambda: home.collector.totals.failed_sessions == HINTS)
        bridge.troubles.unanswered.clear()
        inflate(second)
        await home.until_kept(3 if member == "RemoveDevice" else 2, within_s=60)
        await home.until(lambda: left_behind() == 0)


def _has_gone_on(home: Box) -> bool:
    """The gateway has met the silence and gone on: a session or a scan has ended, or nothing of it hung."""
    totals = home.collector.totals
    return totals.failed_sessions > 0 or totals.wrong_with_radio is not None or totals.sessions > 0
