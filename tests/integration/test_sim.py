"""`homevigil sim` as a person and as a program use it: a process of its own, on a bus and on a controller that is not ours.

The "dongle" is a controller behind a TCP port: Bumble's transport, its host and its HCI bytes are those of a dongle that is
plugged in; only the radio under it is in memory, where the bridge's org.bluez and unmodified bleak hear it.
"""

import asyncio
import json
import os
import pty
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from bumble.transport.tcp_server import open_tcp_server_transport_with_socket
from fix_meters import VirtualAir, leave_the_bus
from integration.test_bridge import Inbox
from pairing import agent

from firmware_sims import dongle
from firmware_sims.virtual_link import VirtualController, VirtualLink
from vitals.errors import UnavailableError
from vitals.gatt import uuids
from vitals.gatt.blood_pressure import BloodPressureMeasurement

pytestmark = pytest.mark.radio

CUFF = "F0:00:00:10:00:01"


class Sim:
    """The process, in JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    async def told(self, event: str) -> dict[str, Any]:
        """The next line that tells of this."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while line := await self.process.stdout.readline():
                said: dict[str, Any] = json.loads(line)
                if said["event"] == event:
                    return said
        raise AssertionError(f"it ended without {event}: {await self.complaint()}")

    async def complaint(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    async def ended(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def sim(*arguments: str) -> AsyncIterator[Sim]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "homevigil", "sim", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Sim(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def a_dongle(link: VirtualLink) -> AsyncIterator[str]:
    """A controller behind a TCP port, which hears `link`; the name of the transport to it."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    transport = await open_tcp_server_transport_with_socket(listening)
    controller = VirtualController(
        "dongle", link=link, rssi_dbm=lambda _: -50, public_address="00:1B:DC:0D:00:01",
        host_source=transport.source, host_sink=transport.sink,
    )  # fmt: skip
    try:
        yield f"tcp-client:127.0.0.1:{port}"
    finally:
        link.remove_controller(controller)
        transport.server.close()
        await transport.close()


@pytest.fixture
async def plugged(air: VirtualAir) -> AsyncIterator[str]:
    async with a_dongle(air.link) as name:
        yield name


async def take_a_record(address: str = CUFF, *, pair: bool = True) -> bytes:
    device = await BleakScanner.find_device_by_address(
        address, timeout=10, service_uuids=[uuids.full(uuids.BLOOD_PRESSURE_SERVICE)]
    )
    assert device is not None, "the meter is not heard"
    async with BleakClient(device, timeout=10) as client:
        if pair:
            await client.pair()
        inbox = Inbox(client)
        await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
        return await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT)


async def test_a_cuff_on_a_dongle_is_read_by_bleak(plugged: str) -> None:
    options = ("--systolic", "152", "--diastolic", "94", "--pulse", "70", "--zone", "Asia/Shanghai")
    async with sim("blood-pressure", "--dongle", plugged, *options) as cuff, agent():
        assert (await cuff.told("ready"))["meters"][0]["meter_id"] == CUFF
        raw = await take_a_record()
        for event in ("connected", "paired"):
            assert (await cuff.told(event))["meter"] == "HV blood-pressure"
        assert bytes.fromhex((await cuff.told("confirmed"))["raw"]) == raw
        await cuff.told("disconnected")
        cuff.say('{"do": "stop"}')
        assert await cuff.ended() == 0
    frame = BloodPressureMeasurement.from_bytes(raw)
    assert (frame.systolic.number, frame.diastolic.number, frame.pulse and frame.pulse.number) == (152, 94, 70)


async def test_a_dropped_confirmation_brings_the_record_again(plugged: str) -> None:
    options = ("--systolic", "152", "--diastolic", "94", "--fault", "drops_after_indication=1")
    async with sim("blood-pressure", "--dongle", plugged, *options) as cuff, agent():
        await cuff.told("ready")
        first = await take_a_record()
        assert await take_a_record() == first
        assert bytes.fromhex((await cuff.told("confirmed"))["raw"]) == first


async def test_it_measures_again_and_again(plugged: str) -> None:
    options = ("--systolic", "152", "--diastolic", "94", "--every", "0.05", "--clock", "1970")
    async with sim("blood-pressure", "--dongle", plugged, *options) as cuff, agent():
        await cuff.told("ready")
        device = await BleakScanner.find_device_by_address(CUFF, timeout=10)
        assert device is not None
        async with BleakClient(device, timeout=10) as client:
            await client.pair()
            inbox = Inbox(client)
            await inbox.subscribe(uuids.BLOOD_PRESSURE_MEASUREMENT)
            frames = [await inbox.next(uuids.BLOOD_PRESSURE_MEASUREMENT) for _ in range(3)]
    assert {BloodPressureMeasurement.from_bytes(raw).meter_time for raw in frames} == {"1970-01-01T00:00:00"}


async def test_who_has_paired_is_known_after_a_restart(plugged: str, tmp_path: Path) -> None:
    options = ("--dongle", plugged, "--bonds", str(tmp_path / "bonds.json"), "--systolic", "152", "--diastolic", "94")
    async with agent():
        async with sim("blood-pressure", *options) as cuff:
            await cuff.told("ready")
            await take_a_record()
            await cuff.told("paired")
            cuff.say('{"do": "stop"}')
            assert await cuff.ended() == 0
        async with sim("blood-pressure", *options) as cuff:
            await cuff.told("ready")
            await take_a_record(pair=False)
            await cuff.told("confirmed")


async def test_a_dongle_that_is_pulled_out_ends_it_with_the_reason(air: VirtualAir) -> None:
    async with a_dongle(air.link) as name, sim("blood-pressure", "--dongle", name) as cuff:
        await cuff.told("ready")
        (controller,) = [c for c in air.link.controllers if c.name == "dongle"]
        controller.host.transport.close()  # the TCP connection of its sink
        assert await cuff.ended() == 1
        assert "is gone" in await cuff.complaint()


async def test_a_dongle_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dongle, "OPEN_S", 0.1)
    left = asyncio.Event()

    async def listen_in_silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    server = await asyncio.start_server(listen_in_silence, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(UnavailableError, match="does not answer"):
            async with dongle.open_dongle(f"tcp-client:127.0.0.1:{port}") as (host, _), dongle.answering("it"):
                await host.reset()
        await left.wait()


async def test_on_a_bus_of_ones_own_it_is_an_org_bluez(bus_address: str) -> None:
    options = ("--systolic", "152", "--diastolic", "94")
    async with sim("blood-pressure", *options) as cuff:
        await cuff.told("ready")
        async with agent():
            raw = await take_a_record()
        assert bytes.fromhex((await cuff.told("confirmed"))["raw"]) == raw
        await cuff.told("disconnected")
        cuff.say('{"do": "status"}')
        assert (await cuff.told("status"))["meters"][0]["link"] == "silent"
        cuff.say('{"do": "measure", "meter": "HV blood-pressure", "glucose_mg_dl": 120}')
        assert "must be told systolic_mmhg, diastolic_mmhg" in (await cuff.told("error"))["message"]
    await leave_the_bus()


async def test_a_meter_with_keys_takes_the_number_that_the_other_side_shows(plugged: str) -> None:
    options = ("--systolic", "152", "--diastolic", "94", "--set", "pairing=keypad")
    async with sim("blood-pressure", "--dongle", plugged, *options) as cuff, agent(capability="DisplayOnly") as ours:
        await cuff.told("ready")
        taking = asyncio.create_task(take_a_record())
        await cuff.told("connected")
        async with asyncio.timeout(10):
            while not ours.shown:  # noqa: ASYNC110  # what is waited for comes over D-Bus
                await asyncio.sleep(0.01)
        cuff.say(json.dumps({"do": "type", "meter": "HV blood-pressure", "number": ours.shown[0]}))
        await cuff.told("paired")
        await taking


class Terminal:
    """A process at a terminal, and the person before it."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._seen = ""
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(side, self._read)

    def _read(self) -> None:
        try:
            self._seen += os.read(self._side, 65536).decode()
        except OSError:  # the other side has gone
            asyncio.get_running_loop().remove_reader(self._side)
        self._news.set()

    def type(self, text: str) -> None:
        os.write(self._side, text.encode())

    async def shows(self, words: str) -> str:
        """Wait until it shows these words; what it has shown until then, once."""
        async with asyncio.timeout(20):
            while words not in self._seen:
                self._news.clear()
                await self._news.wait()
        before, _, self._seen = self._seen.partition(words)
        return before


@asynccontextmanager
async def at_a_terminal(*arguments: str) -> AsyncIterator[tuple[Terminal, asyncio.subprocess.Process]]:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "homevigil", "sim", *arguments, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


async def test_a_person_at_the_keyboard_measures_and_sees_what_happens(plugged: str) -> None:
    async with at_a_terminal("blood-pressure", "--dongle", plugged, "--passkey", "123456") as (terminal, process):
        await terminal.shows("is F0:00:00:10:00:01")
        await terminal.shows("systolic, diastolic, [pulse]")
        terminal.type("status\n")
        await terminal.shows("silent; its clock shows 20")
        terminal.type("measure systolic=152\n")
        await terminal.shows("must be told diastolic_mmhg")
        terminal.type("measure systolic=152 diastolic=94\n")
        terminal.type("status\n")
        await terminal.shows("advertising")
        async with agent(capability="KeyboardDisplay", passkey=123456):
            raw = await take_a_record()
        await terminal.shows("connected")
        await terminal.shows("its display shows 123456")
        await terminal.shows("paired")
        await terminal.shows(f"sent 2a35 {raw.hex()}")
        await terminal.shows("the other side has 2a35")
        await terminal.shows("disconnected")
        terminal.type("m diastolic=99\n")
        terminal.type("dance\n")
        await terminal.shows("what is 'dance'?")
        terminal.type("raw 1e9\n")
        await terminal.shows("pairs of hex digits")
        terminal.type("\x04")
        async with asyncio.timeout(10):
            assert await process.wait() == 0
