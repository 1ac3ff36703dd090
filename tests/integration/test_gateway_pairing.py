"""Pairing with nobody there, and with somebody: codes that are right, wrong, absent and late, through the whole radio side."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakDBusError
from fix_meters import VirtualAir
from gateway_box import Box, box, inflate, prick
from pairing import agent

from gateway.pairing_agent import PairingAgent
from gateway.pairing_codes import PairingCodes
from gateway.pairing_desk import SOCKET, help_to_pair
from gateway.pairing_policy import TRIES
from vitals.errors import UnavailableError

pytestmark = pytest.mark.radio

CODE = 246_813


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def store(path: Path, meter_id: str, code: int | None) -> None:
    PairingCodes(path.parent).store(meter_id, None if code is None else f"{code:06d}")


async def test_a_stored_code_pairs_a_meter_that_shows_one_and_the_bond_needs_it_no_more(
    air: VirtualAir, path: Path
) -> None:
    meter = await air.put("glucose", passkey=CODE)
    store(path, meter.meter.meter_id, CODE)
    prick(meter)
    async with box(path, air) as home:
        await home.until_kept(1)
        await home.until(lambda: home.collector.totals.sessions == 1)
        store(path, meter.meter.meter_id, None)
        prick(meter, 131)
        await home.until_kept(2)
        assert home.pairing(meter) == {}
        assert home.radio.bonds.removed == 0
    assert meter.shown.qsize() == 1


async def test_a_code_from_the_clinic_is_as_good_until_it_is_taken_back(air: VirtualAir, path: Path) -> None:
    meter = await air.put("glucose", passkey=CODE)
    async with box(path, air) as home:
        home.agent.codes.take_from_clinic({meter.meter.meter_id.lower(): f"{CODE:06d}"})
        prick(meter)
        await home.until_kept(1)
        home.agent.codes.take_from_clinic({})
        assert home.agent.codes.code_for(meter.meter.meter_id) is None


async def test_a_meter_whose_code_nobody_knows_is_refused_said_and_costs_the_others_nothing(
    air: VirtualAir, path: Path
) -> None:
    wanting, other = await air.put("glucose", passkey=CODE), await air.put("blood_pressure")
    prick(wanting)
    async with box(path, air, workers=1) as home:
        await home.until(lambda: home.pairing(wanting).get("wants_code") is True)
        raw = inflate(other)
        (reading,) = await home.until_kept(1)
        assert reading.raw == raw
        assert "pairing-code METER CODE" in home.pairing(wanting)["advice"]
        assert home.radio.bonds.removed == 0


async def test_a_wrong_code_is_tried_a_few_times_and_then_kept_back_and_the_right_one_works_at_once(
    air: VirtualAir, path: Path
) -> None:
    meter, other = await air.put("glucose", passkey=CODE), await air.put("blood_pressure")
    inflate(other)
    prick(meter)
    store(path, meter.meter.meter_id, 111_111)
    async with box(path, air, workers=1) as home:
        await home.until_kept(1)  # a worker that a wrong code had locked would not have read this one
        await home.until(lambda: home.pairing(meter).get("wrong_code") == TRIES)
        sessions = home.collector.totals.sessions
        await home.until(lambda: home.collector.totals.sessions >= sessions + 2, within_s=60)
        assert home.pairing(meter)["wrong_code"] == TRIES
        assert "wrong" in home.pairing(meter)["advice"]
        inflate(other, 147)  # its bond has stood all this
        await home.until_kept(2)
        assert home.radio.bonds.removed == 0
        store(path, meter.meter.meter_id, CODE)
        await home.until_kept(3, within_s=60)
        assert home.pairing(meter) == {}


async def test_who_plays_a_meter_with_a_code_and_pairs_without_one_is_not_read(air: VirtualAir, path: Path) -> None:
    player = await air.put("blood_pressure")
    store(path, player.meter.meter_id, CODE)
    inflate(player)
    async with box(path, air) as home:
        await home.until(lambda: home.pairing(player).get("paired_without_code") is True)
        await home.until(lambda: home.collector.totals.sessions == 1)
        assert home.outbox.counts().kept == 0
        assert "--remove" in home.pairing(player)["advice"]
        store(path, player.meter.meter_id, None)
        inflate(player)
        await home.until_kept(1)
        assert "paired_without_code" not in home.pairing(player)


async def test_who_plays_a_meter_with_a_code_and_knows_no_pairing_is_not_read_either(
    air: VirtualAir, path: Path
) -> None:
    player = await air.put("blood_pressure", secure=False, pairing="refused")
    store(path, player.meter.meter_id, CODE)
    inflate(player)
    async with box(path, air) as home:
        await home.until(lambda: home.collector.totals.sessions == 4, within_s=60)
        assert home.outbox.counts().kept == 0


async def test_a_person_types_the_code_that_a_meter_shows_anew_each_time(air: VirtualAir, path: Path) -> None:
    meter = await air.put("glucose", passkey="random")
    said: list[str] = []
    loop = asyncio.get_running_loop()

    def type_it(_prompt: str) -> str:
        shown = asyncio.run_coroutine_threadsafe(meter.shown.get(), loop).result(10)
        return f"{shown:06d}"

    async with box(path, air) as home:
        await home.until_scanning()
        helping = asyncio.create_task(
            help_to_pair(path.parent, meter.meter.meter_id, say=said.append, ask=type_it, within_s=30)
        )
        await home.until(lambda: home.agent.desk.has(meter.meter.meter_id))
        prick(meter)
        assert await helping is True
        await home.until_kept(1)
        assert not (path.parent / "pairing-codes.json").exists()
    assert said[0].startswith("waiting for ")


async def test_a_person_mistypes_and_types_again(air: VirtualAir, path: Path) -> None:
    meter = await air.put("glucose", passkey=CODE)
    typed = iter(("999999", "not a code", f"{CODE:06d}"))
    said: list[str] = []
    async with box(path, air) as home:
        await home.until_scanning()
        helping = help_to_pair(
            path.parent, meter.meter.meter_id, say=said.append, ask=lambda _: next(typed), within_s=60
        )
        helping_task = asyncio.create_task(helping)
        await home.until(lambda: home.agent.desk.has(meter.meter.meter_id))
        prick(meter)
        assert await helping_task is True
        await home.until_kept(1)
    assert len([line for line in said if line.startswith("not paired")]) == 2


@asynccontextmanager
async def silent_person(home: Box, path: Path, meter_id: str) -> AsyncIterator[asyncio.StreamReader]:
    """Somebody who asked for help and went away from the keyboard."""
    reader, writer = await asyncio.open_unix_connection(path.parent / SOCKET)
    writer.write(json.dumps({"meter": meter_id}).encode() + b"\n")
    await home.until(lambda: home.agent.desk.has(meter_id))
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_person_who_types_nothing_holds_up_no_other_meter(air: VirtualAir, path: Path) -> None:
    wanting, other = await air.put("glucose", passkey=CODE), await air.put("blood_pressure")
    async with box(path, air, workers=1, typing_s=0.3) as home:
        await home.until_scanning()
        async with silent_person(home, path, wanting.meter.meter_id) as reader:
            prick(wanting)
            async with asyncio.timeout(20):
                lines = [json.loads(await reader.readline()) for _ in range(3)]
            assert [next(iter(line)) for line in lines] == ["waiting", "ask", "too_late"]
            inflate(other)
            await home.until_kept(1)
        await home.until(lambda: not home.agent.desk.has(wanting.meter.meter_id))


async def test_a_number_to_be_typed_into_the_meter_is_told_until_the_pairing_ends(air: VirtualAir, path: Path) -> None:
    meter = await air.put("glucose", pairing="keypad")
    prick(meter)
    async with box(path, air) as home:
        await home.until(lambda: "type_into_meter" in home.pairing(meter))
        meter.typed.put_nowait(int(home.pairing(meter)["type_into_meter"]))
        await home.until_kept(1)
        await home.until(lambda: home.pairing(meter) == {})


async def test_a_number_to_compare_is_accepted_if_nobody_is_there_and_refused_if_somebody_says_no(
    air: VirtualAir, path: Path
) -> None:
    meter, other = await air.put("glucose", pairing="compare"), await air.put("glucose", 2, pairing="compare")
    async with box(path, air) as home:
        await home.until_scanning()
        prick(meter)
        (reading,) = await home.until_kept(1)
        assert reading.meter_id == meter.meter.meter_id
        said: list[str] = []
        helping = asyncio.create_task(
            help_to_pair(path.parent, other.meter.meter_id, say=said.append, ask=lambda _: "no", within_s=30)
        )
        await home.until(lambda: home.agent.desk.has(other.meter.meter_id))
        prick(other)
        await home.until(lambda: any("not paired" in line for line in said))
        helping.cancel()
        await asyncio.gather(helping, return_exceptions=True)


async def test_a_meter_that_knows_no_pairing_is_read_without_and_not_asked_again(air: VirtualAir, path: Path) -> None:
    meter = await air.put("blood_pressure", secure=False, pairing="refused")
    inflate(meter)
    async with box(path, air) as home:
        await home.until_kept(1)
        failed = home.collector.totals.failed_sessions
        inflate(meter, 149)
        await home.until_kept(2)
        assert home.collector.totals.failed_sessions == failed == 2


async def test_a_pairing_that_we_have_not_started_is_refused(air: VirtualAir, tmp_path: Path) -> None:
    meter = await air.put("glucose", passkey=CODE)
    PairingCodes(tmp_path).store(meter.meter.meter_id, f"{CODE:06d}")
    prick(meter)
    ours = PairingAgent(folder=tmp_path)
    running = asyncio.create_task(ours.run())
    device = await BleakScanner.find_device_by_address(meter.meter.meter_id, timeout=10)
    assert device is not None
    try:
        async with asyncio.timeout(10):
            while not ours.registrations:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
        with pytest.raises(BleakDBusError, match="Authentication"):
            await BleakClient(device, pair=True, timeout=10).connect()
        assert ours.pairings.strangers_refused == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_place_of_the_default_agent_is_taken_back_before_a_pairing(air: VirtualAir, path: Path) -> None:
    meter = await air.put("glucose", passkey=CODE)
    store(path, meter.meter.meter_id, CODE)
    async with box(path, air) as home:
        await home.until_scanning()
        async with agent(capability="KeyboardDisplay", passkey=111_111) as thief:
            prick(meter)
            await home.until_kept(1)
            assert thief.asked == []


async def test_without_an_agent_a_meter_fails_cleanly_and_is_read_once_there_is_one(
    air: VirtualAir, path: Path
) -> None:
    meter, open_one = await air.put("blood_pressure"), await air.put("blood_pressure", 2, secure=False)
    inflate(meter)
    inflate(open_one)
    async with box(path, air, with_agent=False) as home:
        await home.until(lambda: home.collector.totals.failed_sessions >= 2)
        assert home.radio.bonds.removed == 0
        running = asyncio.create_task(home.agent.run())
        try:
            await home.until_kept(2, within_s=60)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_help_without_a_gateway_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="is it running"):
        await help_to_pair(tmp_path, "F0:00:00:08:00:01", say=print, ask=input, within_s=1)
