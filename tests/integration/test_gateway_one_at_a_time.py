"""Operations on one link never overlap: ATT knows one request at a time, and bluetoothd queues what it is asked meanwhile, where
nobody can tell which of them was never answered. Seen from the bus, as a monitor of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from fix_meters import VirtualAir
from gateway_box import inflate
from patience import patient

from gateway.bleak_radio import BleakRadio
from gateway.pairing_agent import PairingAgent

pytestmark = pytest.mark.radio

CHARACTERISTIC: Final = "org.bluez.GattCharacteristic1"


@dataclass(slots=True)
class Asked:
    """The GATT calls on the bus, each with what was still unanswered when it was made."""

    calls: list[tuple[str, int]] = field(default_factory=list)
    pending: set[tuple[str | None, int]] = field(default_factory=set)

    def note(self, message: Message) -> bool:
        if message.message_type is MessageType.METHOD_CALL and message.interface == CHARACTERISTIC:
            self.calls.append((message.member or "", len(self.pending)))
            self.pending.add((message.sender, message.serial))
        elif message.message_type in (MessageType.METHOD_RETURN, MessageType.ERROR):
            self.pending.discard((message.destination, message.reply_serial or 0))
        return True  # a monitor that answers anything is thrown off the bus


@asynccontextmanager
async def monitor() -> AsyncIterator[Asked]:
    asked = Asked()
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    rules = [f"type='method_call',interface='{CHARACTERISTIC}'", "type='method_return'", "type='error'"]
    reply = await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus.Monitoring",
            member="BecomeMonitor",
            signature="asu",
            body=[rules, 0],
        )
    )
    assert reply is not None
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    bus.add_message_handler(asked.note)
    try:
        yield asked
    finally:
        bus.disconnect()
        await asyncio.wait({asyncio.ensure_future(bus.wait_for_disconnect())})


async def test_operations_on_one_link_never_overlap_whoever_asks(air: VirtualAir, tmp_path: Path) -> None:
    cuff = await air.put("blood_pressure")
    inflate(cuff)
    agent = PairingAgent(folder=tmp_path)
    radio = BleakRadio(agent=agent)
    answering = asyncio.create_task(agent.run())
    try:
        async with asyncio.timeout(patient(20)), radio.advertisements() as heard:
            advertisement = await anext(heard)
            async with monitor() as asked, radio.connect(advertisement) as link:
                wanted = ["2a29", "2a24", "2a25", "2a26", "2a49"]
                reads = [link.read(each) for each in wanted if each in link.characteristics]
                subscribed = link.subscribe("2a35")
                await asyncio.gather(*reads, subscribed, *(link.read("2a29") for _ in range(3)))
        assert len(asked.calls) >= len(reads) + 4
        assert {member for member, _ in asked.calls} >= {"ReadValue", "StartNotify"}
        assert [unanswered for _, unanswered in asked.calls] == [0] * len(asked.calls)
    finally:
        answering.cancel()
        await asyncio.wait({answering})
        radio.care._bluez.close()
