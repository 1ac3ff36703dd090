"""The second Bluetooth tier: the same tests on a real bluetoothd, when DBUS_SYSTEM_BUS_ADDRESS is that of tests/machine.

All of this tier is in here: which tests a machine can take, and how a virtual air is joined to its radio.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from bumble import hci
from bumble.transport import open_transport
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from machine.appliance import Machine
from patience import MACHINE, patient

from firmware_sims.virtual_link import VirtualController, VirtualLink

BRIDGE_ONLY: Final = "turns a knob that only the bridge has"
NOT_RADIO: Final = "does not use the virtual air"
DIES: Final = "Debian's kernel 6.1 dies of a meter that lost its bond (list_del corruption in hci_chan_del)"

UNKNOWN_TO_THE_KERNEL_SIDE: Final = hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
"""With these the kernel waits for an enhanced Connection Complete, and Bumble's controller sends the old one (bumble 841)."""

_LEFT_OUT: Final = pytest.StashKey[dict[str, list[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "")
    if address.startswith("tcp:") and MACHINE is None:
        raise pytest.UsageError(f"no machine of tests/machine runs at {address}; see `python -m tests.machine --help`")


def pytest_report_header() -> str | None:
    if MACHINE is None:
        return None
    facts = MACHINE.facts
    return f"bluetooth: real bluetoothd {facts['bluez']} on kernel {facts['kernel']} ({facts['suite']}), in qemu"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a machine, leave out what it cannot take: never silently, see the summary."""
    left_out: dict[str, list[str]] = {}
    config.stash[_LEFT_OUT] = left_out
    if MACHINE is None:
        return
    kept = []
    for item in items:
        why = why_not(item, MACHINE)
        if why is None:
            kept.append(item)
        else:
            left_out.setdefault(why, []).append(item.nodeid)
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for why, names in config.stash.get(_LEFT_OUT, {}).items():  # who only hands tests out has collected none
        terminalreporter.write_sep("-", f"not for the machine: {why}")
        if why == NOT_RADIO:
            terminalreporter.write_line(f"{len(names)} tests")
        else:
            terminalreporter.write_line("\n".join(sorted(names)))


def why_not(item: pytest.Item, machine: Machine) -> str | None:
    """Why a machine cannot take this test; None if it can."""
    if "virtual_air" not in getattr(item, "fixturenames", ()):
        return NOT_RADIO
    if item.get_closest_marker("bridge"):
        return BRIDGE_ONLY
    if item.get_closest_marker("bond_lost") and machine.facts["kernel"].startswith("6.1."):
        return DIES
    return None


class MachineBluetooth:
    """bluetoothd of the machine: `start` it, `stop` it; what it has bonded with stays on its disk in between."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def start(self) -> None:
        """Returns when the adapter is powered, which bluetoothd does by itself."""
        await self.do("start")
        async with asyncio.timeout(patient(10)):
            await _until_powered()

    async def stop(self) -> None:
        await self.do("stop")

    async def do(self, *verbs: str) -> None:
        """Verbs of tests/machine/guest/control. In a thread, because the radio must go on meanwhile."""
        await asyncio.to_thread(self._do, verbs)

    def _do(self, verbs: tuple[str, ...]) -> None:
        with self._machine.control() as control:
            control.do(*verbs)


@asynccontextmanager
async def on_the_machine(machine: Machine, link: VirtualLink) -> AsyncIterator[MachineBluetooth]:
    """The machine's radio is on the virtual air; bluetoothd is stopped and knows nobody, as after its first boot."""
    bluetooth = MachineBluetooth(machine)
    jitter = random.Random(0)
    await bluetooth.do("stop", "detach", "forget")
    async with await open_transport(f"unix-client:{machine.hci}") as line:
        controller = VirtualController(
            "machine",
            link=link,
            rssi_dbm=lambda _: -60 + jitter.randint(-9, 9),
            host_source=line.source,
            host_sink=line.sink,
            public_address="00:1B:DC:00:00:01",
        )
        controller.le_features &= ~UNKNOWN_TO_THE_KERNEL_SIDE
        await bluetooth.do("attach")
        try:
            yield bluetooth
        finally:
            await bluetooth.do("stop", "detach")


async def _until_powered() -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    news = asyncio.Event()
    bus.add_message_handler(lambda message: news.set() if message.message_type is MessageType.SIGNAL else None)
    try:
        for rule in ("type='signal',sender='org.bluez'", "type='signal',member='NameOwnerChanged',arg0='org.bluez'"):
            await _call(bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "AddMatch", "s", rule)
        while True:
            news.clear()
            properties = ("/org/bluez/hci0", "org.freedesktop.DBus.Properties", "Get", "ss")
            reply = await _call(bus, "org.bluez", *properties, "org.bluez.Adapter1", "Powered")
            if reply.message_type is MessageType.METHOD_RETURN and reply.body[0].value:
                return
            await news.wait()
    finally:
        bus.disconnect()
        await asyncio.wait({asyncio.ensure_future(bus.wait_for_disconnect())})


async def _call(
    bus: MessageBus, destination: str, path: str, interface: str, member: str, signature: str, *body: object
) -> Message:
    message = Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=list(body)
    )
    reply = await bus.call(message)
    assert reply is not None
    return reply
