"""The gaps of Bumble's virtual controller that are closed here stay closed when Bumble changes."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from bumble import hci, ll
from bumble.core import AdvertisingData, PhysicalTransport
from bumble.device import Advertisement, Device, DeviceConfiguration
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink
from unit.firmware_sims.told import ONE_OF_EACH, tell

from firmware_sims.central import Central, ConnectFailedError
from firmware_sims.kinds import KINDS
from firmware_sims.over_the_air import MeterOnAir
from firmware_sims.settings import Meter
from firmware_sims.virtual_link import VirtualController, VirtualLink

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
FIRST, SECOND = hci.Address("F0:00:00:10:00:01"), hci.Address("F0:00:00:10:00:02")


def a_controller(link: VirtualLink, name: str = "c") -> VirtualController:
    return VirtualController(name, link=link, rssi_dbm=lambda _: -70, public_address="00:1B:DC:00:00:09")


def a_device(link: VirtualLink, address: hci.Address) -> Device:
    controller = VirtualController(
        str(address), link=link, rssi_dbm=lambda _: -70, public_address=str(address).replace("F0", "00")
    )
    configuration = DeviceConfiguration()
    configuration.address = address
    configuration.advertising_interval_min = configuration.advertising_interval_max = 20
    configuration.advertising_data = bytes(AdvertisingData([(AdvertisingData.FLAGS, b"\x06")]))
    return Device(config=configuration, host=Host(controller, AsyncPipeSink(controller)))


def a_central(link: VirtualLink, rssi_dbm: Callable[[hci.Address], int] = lambda _: -55) -> Central:
    def nobody(_: object) -> None:
        raise AssertionError("nothing pairs here")

    return Central(link, delegate=nobody, rssi_dbm=rssi_dbm)  # type: ignore[arg-type]


async def test_after_a_meter_that_went_away_under_the_connect_the_next_connect_works() -> None:
    link = VirtualLink()
    brief, meter = a_device(link, FIRST), a_device(link, SECOND)
    for device in (brief, meter):
        await device.power_on()
        await device.start_advertising()
    ending: set[asyncio.Task[None]] = set()

    def end(_: Advertisement) -> None:
        if not ending:
            ending.add(asyncio.create_task(brief.stop_advertising()))

    async with a_central(link) as central:
        central.on_advertisement(end)
        with pytest.raises(ConnectFailedError):
            await central.connect(str(FIRST), timeout_s=0.05)
        connection = await central.connect(str(SECOND), timeout_s=5)
        assert connection.peer_address == SECOND


async def test_connects_that_wait_hold_up_nobody_and_find_their_meter_when_it_wakes() -> None:
    link = VirtualLink()
    sleeping, meter = a_device(link, FIRST), a_device(link, SECOND)
    for device in (sleeping, meter):
        await device.power_on()
    await meter.start_advertising()
    async with a_central(link) as central, asyncio.timeout(5):
        waiting = asyncio.create_task(central.connect(str(FIRST), timeout_s=5))
        assert (await central.connect(str(SECOND), timeout_s=5)).peer_address == SECOND
        assert not waiting.done()
        await sleeping.start_advertising()
        assert (await waiting).peer_address == FIRST


async def test_after_a_cancelled_connect_the_next_one_works() -> None:
    link = VirtualLink()
    meter = a_device(link, SECOND)
    await meter.power_on()
    await meter.start_advertising()
    async with a_central(link) as central:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await central.connect(str(FIRST), timeout_s=5)
        await central.connect(str(SECOND), timeout_s=5)


async def test_signal_strength_is_what_the_air_says() -> None:
    link = VirtualLink()
    meter = a_device(link, FIRST)
    await meter.power_on()
    await meter.start_advertising()
    strengths = iter(range(-90, -30))
    heard: asyncio.Queue[Advertisement] = asyncio.Queue()
    async with a_central(link, rssi_dbm=lambda _: next(strengths)) as central, asyncio.timeout(5):
        central.on_advertisement(heard.put_nowait)
        await central.scan(True)
        first, second = await heard.get(), await heard.get()
        await central.scan(False)
        await meter.stop_advertising()
    assert first.rssi != second.rssi


async def test_a_hundred_meters_of_every_kind_are_heard_and_no_report_is_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody reads the debug log, and writing to it is half of the work (`VirtualController.send_hci_packet`)."""
    for report in (hci.HCI_LE_Advertising_Report_Event, hci.HCI_LE_Extended_Advertising_Report_Event):
        monkeypatch.setattr(report, "__str__", _unread)
    link, kinds = VirtualLink(), list(KINDS)
    heard: set[str] = set()
    all_heard = asyncio.Event()

    def hear(advertisement: Advertisement) -> None:
        heard.add(str(advertisement.address))
        if len(heard) == 100:
            all_heard.set()

    async with AsyncExitStack() as stack:
        for index in range(100):
            kind = kinds[index % len(kinds)]
            on_air = MeterOnAir(Meter(name=f"m{index}", kind=kind, index=index), link, now=lambda: NOW)
            await stack.enter_async_context(on_air)
            tell(on_air.firmware, **ONE_OF_EACH[kind])
            on_air.wake()
        central = await stack.enter_async_context(a_central(link))
        central.on_advertisement(hear)
        await central.scan(True)
        async with asyncio.timeout(20):
            await all_heard.wait()
        await central.scan(False)


def _unread(_: object) -> str:
    raise AssertionError("a report was written out")


async def test_a_cancel_without_a_connect_is_disallowed() -> None:
    answer = a_controller(VirtualLink()).on_hci_le_create_connection_cancel_command(
        hci.HCI_LE_Create_Connection_Cancel_Command()
    )
    assert answer.status == hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR


async def test_nobody_but_listeners_is_told_of_advertisements(monkeypatch: pytest.MonkeyPatch) -> None:
    link = VirtualLink()
    sender, idle, scanner = (a_controller(link, name) for name in ("sender", "idle", "scanner"))
    scanner.le_scan_enable = True
    told: list[str] = []
    for controller in (sender, idle, scanner):
        monkeypatch.setattr(controller, "on_ll_advertising_pdu", lambda _, name=controller.name: told.append(name))
    link.send_advertising_pdu(sender, ll.AdvInd(advertiser_address=FIRST, data=b""))
    await asyncio.sleep(0)
    assert told == ["scanner"]
    link.send_advertising_pdu(
        sender, ll.ConnectInd(initiator_address=FIRST, advertiser_address=SECOND, interval=1, latency=0, timeout=1)
    )
    await asyncio.sleep(0)
    assert sorted(told[1:]) == ["idle", "scanner"]


async def test_a_scan_that_filters_hears_only_the_accept_list(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = a_controller(VirtualLink())
    heard: list[hci.Address] = []
    monkeypatch.setattr(
        controller, "send_hci_packet", lambda packet: heard.extend(report.address for report in packet.reports)
    )
    controller.le_scan_enable, controller.le_scanning_filter_policy = True, 1
    controller.on_hci_le_add_device_to_filter_accept_list_command(
        hci.HCI_LE_Add_Device_To_Filter_Accept_List_Command(address_type=1, address=SECOND)
    )
    for address in (FIRST, SECOND):
        controller.on_advertising_pdu(ll.AdvInd(advertiser_address=address, data=b""))
    assert set(heard) == {SECOND}
    assert controller.le_scan_enable

    heard.clear()
    controller.on_hci_le_remove_device_from_filter_accept_list_command(
        hci.HCI_LE_Remove_Device_From_Filter_Accept_List_Command(address_type=1, address=SECOND)
    )
    controller.on_advertising_pdu(ll.AdvInd(advertiser_address=SECOND, data=b""))
    assert heard == []


async def test_a_reset_forgets_what_was_going_on() -> None:
    controller = a_controller(VirtualLink())
    controller.le_scan_enable = True
    controller.on_hci_le_add_device_to_filter_accept_list_command(
        hci.HCI_LE_Add_Device_To_Filter_Accept_List_Command(address_type=1, address=SECOND)
    )
    controller.on_hci_reset_command(hci.HCI_Reset_Command())
    assert not controller.le_scan_enable
    assert controller._accepted == set()


async def test_data_comes_from_the_address_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A central that connects with its public address must not speak with its random one."""
    link = VirtualLink()
    meter = a_device(link, FIRST)
    central = a_device(link, SECOND)
    await meter.power_on()
    await central.power_on()
    await meter.start_advertising()
    sources: list[hci.Address] = []
    controller = link.find_le_controller(FIRST)
    assert controller is not None
    hear = controller.on_link_acl_data

    def listen(source: hci.Address, transport: PhysicalTransport, data: bytes) -> None:
        sources.append(source)
        hear(source, transport, data)

    monkeypatch.setattr(controller, "on_link_acl_data", listen)
    connection = await central.connect(FIRST, own_address_type=hci.OwnAddressType.PUBLIC, timeout=5)
    async with asyncio.timeout(5):
        assert await connection.gatt_client.request_mtu(100) == 100
    assert set(sources) == {central.public_address}
    await connection.disconnect()
    await meter.stop_advertising()
