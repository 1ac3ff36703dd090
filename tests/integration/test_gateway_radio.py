"""The gateway's Bluetooth side over the real bridge: unmodified bleak, our own pairing agent, simulated meters on Bumble."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fix_meters import VirtualAir
from gateway_box import box, inflate, prick
from patience import patient

from firmware_sims.bluez_device import Timing
from firmware_sims.glucometer import Glucometer
from gateway.bleak_radio import BleakRadio
from gateway.deadline import Deadlines
from gateway.pairing_agent import PairingAgent
from vitals.gatt.link import LinkError, Notified
from vitals.reading import BloodPressure, Glucose

pytestmark = pytest.mark.radio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


async def test_a_cuff_is_paired_and_its_bytes_are_kept_as_sent(air: VirtualAir, path: Path) -> None:
    meter = await air.put("blood_pressure")
    raw = inflate(meter)
    async with box(path, air) as home:
        (reading,) = await home.until_kept(1)
    assert reading.raw == raw == air.said(meter)[0]
    assert reading.meter_id == meter.meter.meter_id
    assert reading.user_slot == 1


async def test_the_records_of_a_glucometer_come_with_their_meals(air: VirtualAir, path: Path) -> None:
    meter = await air.put("glucose")
    for mg_dl, meal in ((100, "fasting"), (140, "postprandial"), (110, None)):
        prick(meter, mg_dl, meal)
    async with box(path, air) as home:
        readings = await home.until_kept(3)
    found = [(r.measurement.sequence, r.measurement.meal) for r in readings if isinstance(r.measurement, Glucose)]
    assert sorted(found) == [(1, "fasting"), (2, "postprandial"), (3, None)]


async def test_two_sittings_over_one_bond(air: VirtualAir, path: Path) -> None:
    meter = await air.put("blood_pressure")
    async with box(path, air) as home:
        inflate(meter, 152)
        await home.until_kept(1)
        await home.until(lambda: home.collector.totals.sessions == 1)
        inflate(meter, 148)
        await home.until_kept(2)
        assert home.radio.bonds.removed == 0
        assert home.collector.totals.failed_sessions == 0


@pytest.mark.bond_lost
async def test_a_meter_that_forgot_its_bond_is_paired_anew(air: VirtualAir, path: Path) -> None:
    meter = await air.put("blood_pressure", faults={"forgets_bond": True})
    hasty = Deadlines(reach_s=patient(1))  # it takes each link, and drops it: that is no meter that sleeps
    async with box(path, air, deadlines=hasty) as home:
        inflate(meter, 152)
        await home.until_kept(1)
        await home.until(lambda: home.collector.totals.sessions == 1)
        inflate(meter, 148)
        await home.until_kept(2, within_s=60)
        assert home.radio.bonds.removed >= 1


async def test_a_cuff_that_hangs_up_after_its_record_is_read(air: VirtualAir, path: Path) -> None:
    meter = await air.put("blood_pressure", faults={"hangs_up": True})
    inflate(meter)
    async with box(path, air) as home:
        await home.until_kept(1)
        await home.until(lambda: home.collector.totals.sessions == 1)
        assert home.collector.totals.failed_sessions == 0


@pytest.mark.parametrize("kind", ["blood_pressure", "glucose"])
async def test_a_link_that_drops_at_once_takes_nothing_from_the_one_after_it(
    air: VirtualAir, path: Path, kind: str
) -> None:
    meter = await air.put(kind, faults={"drops_at_once": 1})
    if kind == "glucose":
        prick(meter)
    else:
        inflate(meter)
    async with box(path, air) as home:
        (reading,) = await home.until_kept(1)
    assert [reading.raw] == air.said(meter)[:1]
    assert len(air.said(meter)) == 1  # the meter was heard the first time that it spoke


async def test_a_link_that_drops_after_the_indication_costs_no_record_and_doubles_none(
    air: VirtualAir, path: Path
) -> None:
    meter = await air.put("blood_pressure", faults={"drops_after_indication": 1})
    inflate(meter)
    async with box(path, air) as home:
        await home.until(lambda: len(air.said(meter, "confirmed")) == 1)
        await home.until(lambda: home.collector.totals.repeated == 1 or home.outbox.counts().kept == 1)
        await home.until(lambda: home.collector.totals.sessions == 2)
        assert home.outbox.counts().kept == 1


async def test_without_a_bus_the_collector_waits_and_says_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'no-bus'}")
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(box(path, VirtualAir(stack=AsyncExitStack())))
        await home.until(lambda: home.collector.totals.wrong_with_radio is not None)
        assert "systemctl status dbus" in (home.collector.totals.wrong_with_radio or "")


async def test_a_bluetooth_service_that_comes_late_is_found(virtual_air: VirtualAir, path: Path) -> None:
    async with box(path, virtual_air) as home:
        await home.until(lambda: home.collector.totals.wrong_with_radio is not None)
        await virtual_air.start_bluetooth()
        meter = await virtual_air.put("blood_pressure")
        inflate(meter)
        await home.until_kept(1, within_s=60)


async def test_a_restarted_bluetooth_service_gets_its_agent_and_its_scan_back(
    virtual_air: VirtualAir, path: Path
) -> None:
    async with box(path, virtual_air) as home:
        await virtual_air.start_bluetooth()
        await home.until_scanning()
        await virtual_air.stop_bluetooth()
        await virtual_air.start_bluetooth()
        await home.until(lambda: home.agent.registrations == 2)
        meter = await virtual_air.put("blood_pressure")
        inflate(meter)
        await home.until_kept(1, within_s=60)


async def test_twenty_meters_are_read_by_two_workers_and_none_is_lost(air: VirtualAir, path: Path) -> None:
    meters = [await air.put("glucose", index=n) for n in range(1, 21)]
    for meter in meters:
        prick(meter)
    async with box(path, air) as home:
        readings = await home.until_kept(20, within_s=60)
    assert {r.meter_id for r in readings} == {m.meter.meter_id for m in meters}


async def test_a_meter_that_has_forgotten_who_listens_is_told_again(air: VirtualAir, tmp_path: Path) -> None:
    meter = await air.put("glucose")
    prick(meter)
    agent = PairingAgent(folder=tmp_path)
    radio = BleakRadio(agent=agent)
    tasks = [asyncio.create_task(agent.run()), asyncio.create_task(radio.care.run())]
    try:
        async with asyncio.timeout(30):
            async with radio.advertisements() as heard:
                advertisement = await anext(heard)
            async with radio.connect(advertisement) as link:
                for _ in range(2):
                    for characteristic in ("2a18", "2a34", "2a52"):
                        await link.subscribe(characteristic)
                    await link.write("2a52", b"\x01\x01")
                    assert [await link.event(5) for _ in range(2)][-1] == Notified(
                        characteristic="2a52", value=bytes.fromhex("06000101")
                    )
                    for characteristic in ("2a18", "2a34", "2a52"):
                        meter.firmware.on_subscribed(characteristic, is_on=False)
                    with pytest.raises(LinkError) as refused:
                        await link.write("2a52", b"\x01\x01")
                    assert refused.value.code == 0xFD
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.bridge
async def test_a_meter_of_which_bluez_has_kept_a_part_is_forgotten_and_read_whole(
    virtual_air: VirtualAir, path: Path
) -> None:
    bridge = await virtual_air.bridge_with(Timing(disconnect_delay_s=0.0))
    meter = await virtual_air.put("glucose")
    prick(meter)
    async with box(path, virtual_air) as home:
        await home.until_kept(1)
        await home.until(lambda: home.collector.totals.sessions == 1)
        bridge.troubles.half_known.add(meter.meter.meter_id)
        prick(meter, 131)
        await home.until_kept(2)
        assert home.collector.totals.failed_sessions == 2


@pytest.mark.bridge
async def test_a_meter_whose_services_came_late_once_is_read_whole_and_keeps_its_bond(
    virtual_air: VirtualAir, path: Path
) -> None:
    bridge = await virtual_air.bridge_with(Timing(disconnect_delay_s=0.0))
    meter = await virtual_air.put("glucose")
    bridge.troubles.shown_late.add(meter.meter.meter_id)
    prick(meter)
    async with box(path, virtual_air) as home:
        await home.until_kept(1)
        await home.until(lambda: home.collector.totals.sessions == 1)
        assert home.collector.totals.failed_sessions == 1
        assert home.radio.bonds.removed == 0


async def test_a_glucometer_is_asked_only_for_what_has_come_since(air: VirtualAir, path: Path) -> None:
    meter = await air.put("glucose")
    for mg_dl in (100, 110, 120):
        prick(meter, mg_dl)
    async with box(path, air) as home:
        await home.until_kept(3)
        await home.until(lambda: home.collector.totals.sessions == 1)
        prick(meter, 130)
        await home.until_kept(4)
        await home.until(lambda: home.collector.totals.sessions >= 2)
    assert len(air.said(meter)) <= 5  # the last one again, which shows that the meter still counts as it did


async def test_a_failed_measurement_of_nan_is_kept_without_a_value_and_the_next_meter_is_read(
    air: VirtualAir, path: Path
) -> None:
    failing, meter = await air.put("blood_pressure", faults={"fails": True}), await air.put("blood_pressure", 2)
    inflate(failing)
    async with box(path, air) as home:
        (failed,) = await home.until_kept(1)
        assert isinstance(failed.measurement, BloodPressure)
        assert (failed.measurement.systolic_mmhg, failed.measurement.diastolic_mmhg) == (None, None)
        raw = inflate(meter)
        assert [reading.raw for reading in await home.until_kept(2)] == [failed.raw, raw]


async def test_a_glucometer_without_records_is_a_session_like_any_other(air: VirtualAir, path: Path) -> None:
    meter = await air.put("glucose")
    assert isinstance(meter.firmware, Glucometer)
    meter.firmware._has_news = True  # switched on by hand, with nothing in it
    meter.wake()
    async with box(path, air) as home:
        await home.until(lambda: home.collector.totals.sessions >= 1)
        assert home.collector.totals.failed_sessions == 0
        assert home.outbox.counts().kept == 0
        prick(meter)
        await home.until_kept(1)


async def test_a_report_that_is_aborted_ends_and_the_next_one_is_whole(air: VirtualAir, path: Path) -> None:
    meter = await air.put("glucose")
    for nth in range(60):
        prick(meter, 90 + nth)
    agent = PairingAgent(folder=path.parent)
    radio = BleakRadio(agent=agent)
    tasks = [asyncio.create_task(agent.run()), asyncio.create_task(radio.care.run())]
    try:
        async with asyncio.timeout(60), radio.advertisements() as heard:
            advertisement = await anext(heard)
            async with radio.connect(advertisement) as link:
                for characteristic in ("2a18", "2a52"):
                    await link.subscribe(characteristic)
                await link.write("2a52", b"\x01\x01")
                await link.write("2a52", b"\x03\x00")
                while (event := await link.event(10)) != Notified(characteristic="2a52", value=b"\x06\x00\x03\x01"):
                    assert isinstance(event, Notified)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with box(path, air) as home:
        prick(meter, 150)
        await home.until_kept(61, within_s=60)
