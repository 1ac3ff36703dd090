"""The adapters of the page, as a person would install them, and ones that are broken: the gateway goes on."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path

import pytest
from unit.gateway.homes import CUFF, GLUCOMETER, Home, at_home

from firmware_sims.firmware import Characteristic, Property
from firmware_sims.indicating_meter import IndicatingMeter
from firmware_sims.kinds import KINDS, KindOfMeter
from firmware_sims.measure import Measure
from gateway.adapters import READY, load
from vitals.reading import BloodPressure, TimeQuality, Weight

PAGE = Path(__file__).parents[3] / "docs/how-to/add-a-vendor-meter.md"
SERVICE = "f000aa00-0451-4000-b000-000000000000"
LEAVING = CUFF | {"faults": {"hangs_up": True}}
RESULT = "f000aa01-0451-4000-b000-000000000000"


class ExampleFirmware(IndicatingMeter):
    """The meter of the page."""

    model = "Cuff"
    advertised_service = SERVICE
    measurement = RESULT
    needs = ()
    own_characteristics = (Characteristic(uuid=RESULT, service=SERVICE, properties=Property.INDICATE),)

    def _measure(self, told: Measure, wall: datetime) -> None:
        raise AssertionError("it is given its frames")


def frame(systolic: int = 152, diastolic: int = 94, pulse: int = 72, number: int = 1) -> bytes:
    pressures = systolic.to_bytes(2, "little") + diastolic.to_bytes(2, "little")
    body = pressures + bytes((pulse,)) + number.to_bytes(2, "little")
    return body + bytes((sum(body) & 0xFF,))


def send(home: Home, raw: bytes) -> None:
    meter = home.meter("bp")
    meter.firmware.keep(raw)
    meter.wake()


def install(folder: Path, distribution: str, entries: dict[str, str], modules: dict[str, str]) -> None:
    """What an installer leaves behind: modules, and the note of their entry points."""
    noted = folder / f"{distribution}-1.0.dist-info"
    noted.mkdir(parents=True)
    lines = ["[homevigil.meters]", *(f"{name} = {value}" for name, value in entries.items())]
    (noted / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    about = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
    (noted / "METADATA").write_text(about, encoding="utf-8")
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where packages are installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def page(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the page is installed, and there is a meter that it is for."""
    text = PAGE.read_text(encoding="utf-8")
    modules = {name: code for code, name in re.findall(r"```python\n(# (\w+)\.py\n.*?)```", text, re.DOTALL)}
    (toml,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    install(site, "example_meters", dict(re.findall(r'^([\w-]+) = "(.*)"$', toml, re.MULTILINE)), modules)
    theirs = KindOfMeter(
        module=__name__, firmware="ExampleFirmware", address_byte=0x10, measurements=frozenset({RESULT})
    )
    monkeypatch.setitem(KINDS, "blood_pressure", theirs)
    return site


async def test_the_cuff_of_the_page_is_read_and_a_standard_meter_beside_it(page: Path, tmp_path: Path) -> None:
    adapters = load(["example-cuff"])
    assert adapters.services == {SERVICE}
    async with at_home(tmp_path / "outbox.sqlite", LEAVING, GLUCOMETER, adapters=adapters) as home:
        send(home, frame())
        send(home, frame(systolic=141, number=2))
        home.prick()
        readings = await home.until_kept(3)
        await home.until(lambda: home.collector.totals.sessions == 2)
        remembered = home.outbox.recall("F0:00:00:10:00:01")
    theirs = [each for each in readings if isinstance(each.measurement, BloodPressure)]
    assert [
        (each.measurement.systolic_mmhg, each.raw) for each in theirs if isinstance(each.measurement, BloodPressure)
    ] == [
        (152.0, frame()),
        (141.0, frame(systolic=141, number=2)),
    ]
    assert {(each.characteristic, each.decoder, each.time_quality) for each in theirs} == {
        (RESULT, "example-cuff-1.0", TimeQuality.RECEIVED)
    }
    assert remembered.about == {"manufacturer": "Example", "model": "Cuff"}
    assert adapters.states == {"example-cuff": READY}


async def test_what_it_cannot_decode_is_set_aside_and_what_comes_twice_is_kept_once(page: Path, tmp_path: Path) -> None:
    async with at_home(tmp_path / "outbox.sqlite", LEAVING, adapters=load(["example-cuff"])) as home:
        send(home, frame()[:-1] + b"\x00")
        send(home, frame())
        send(home, frame())
        await home.until(lambda: home.collector.totals.repeated == 1)
        counts = home.outbox.counts()
    assert (counts.kept, counts.quarantined) == (1, 1)


async def test_without_the_adapter_such_a_meter_is_left_alone(page: Path, tmp_path: Path) -> None:
    async with at_home(tmp_path / "outbox.sqlite", LEAVING, GLUCOMETER) as home:
        send(home, frame())
        home.prick()
        (reading,) = await home.until_kept(1)
        await home.until(lambda: home.collector.totals.failed_sessions >= 1)
    assert reading.characteristic == "2a18"


async def test_the_folder_of_the_page_hands_in_what_is_dropped(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters = load(["example-folder"])
    monkeypatch.setattr(import_module("example_folder"), "FOLDER", tmp_path)
    said = b'{"scale": "shop-scale-7", "kg": 72.5, "number": 3}'
    (tmp_path / "1.json").write_bytes(said)
    (tmp_path / "2.json").write_bytes(b"seventy-two")
    async with at_home(tmp_path / "outbox.sqlite", adapters=adapters) as home:
        (reading,) = await home.until_kept(1)
        await home.until(lambda: home.outbox.counts().quarantined == 1)
        await home.until(lambda: not list(tmp_path.glob("*.json")))
        (tmp_path / "3.json").write_bytes(said)
        await home.until(lambda: not list(tmp_path.glob("*.json")))
        assert home.outbox.counts().kept == 1, "the same file again is the same reading"
    assert (reading.meter_id, reading.raw) == ("shop-scale-7", said)
    assert isinstance(reading.measurement, Weight)
    assert reading.measurement.weight_kg == 72.5


BROKEN = f'''
from gateway.sessions.commands import MeterRecord, keep, subscribe, wait
from gateway.timing import Evidence
from vitals.reading import Weight

class Base:
    version = "1"
    services = frozenset()
    def is_for(self, characteristics):
        return "{RESULT}" in characteristics
    def converse(self, known, findings):
        yield from subscribe("{RESULT}")
        raw = (yield from wait(5)).event.value
        yield from self.use(raw)

class Divides(Base):
    def use(self, raw):
        yield from ()
        raise ZeroDivisionError("the value was 152")

class MakesNonsense(Base):
    def use(self, raw):
        evidence = Evidence(received_at=known_at, is_stamped=False)
        weight = Weight(weight_kg=float("nan"), unit_sent="stone")
        yield from keep(MeterRecord(characteristic="nowhere", raw=raw, measurement=weight, evidence=evidence))

class CannotSay(Base):
    def is_for(self, characteristics):
        raise RuntimeError("hm")

class NoAdapter:
    pass

def explodes():
    raise OSError("no such library")

class Ends:
    version = "1"
    async def run(self, desk):
        raise ValueError("the value was 152")
'''.replace("known_at", "__import__('datetime').datetime.now(__import__('datetime').UTC)")


@pytest.fixture
def broken(page: Path) -> Path:
    names = ("Divides", "MakesNonsense", "CannotSay", "NoAdapter", "explodes", "Ends")
    install(page, "broken_meters", {name.lower(): f"broken:{name}" for name in names}, {"broken": BROKEN})
    return page


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("divides", r"broken: ZeroDivisionError at broken\.py:\d+"),
        ("makesnonsense", "ready"),
        ("cannotsay", r"broken: RuntimeError at broken\.py:\d+"),
    ],
)
async def test_a_broken_adapter_costs_its_own_meter_and_nothing_else(
    broken: Path, tmp_path: Path, name: str, state: str
) -> None:
    adapters = load([name])
    async with at_home(tmp_path / "outbox.sqlite", LEAVING, GLUCOMETER, adapters=adapters) as home:
        send(home, frame())
        home.prick()
        (reading,) = await home.until_kept(1)
        await home.until(lambda: home.collector.totals.failed_sessions >= 1)
        counts = home.outbox.counts()
    assert reading.characteristic == "2a18"
    assert counts.quarantined == (name == "makesnonsense"), "what it made of the meter's bytes is kept for a person"
    assert re.fullmatch(state, adapters.states[name])


def test_what_cannot_be_loaded_is_said_and_the_others_are_ready(broken: Path) -> None:
    adapters = load(["nothere", "noadapter", "explodes", "example-cuff", "ends"])
    assert adapters.states["example-cuff"] == adapters.states["ends"] == READY
    assert adapters.states["nothere"].startswith("not installed; there are: cannotsay, divides, ends, example-cuff")
    assert adapters.states["noadapter"] == "broken: TypeError"
    assert re.fullmatch(r"broken: OSError at broken\.py:\d+", adapters.states["explodes"])
    assert (set(adapters.meters), set(adapters.sources)) == ({"example-cuff"}, {"ends"})


async def test_a_source_that_ends_is_started_again_and_its_words_are_not_repeated(broken: Path, tmp_path: Path) -> None:
    adapters = load(["ends"])
    async with at_home(tmp_path / "outbox.sqlite", GLUCOMETER, adapters=adapters) as home:
        home.prick()
        await home.until_kept(1)
        await home.until(lambda: adapters.states["ends"] != READY)
    assert re.fullmatch(r"started again 1 times, .* ValueError at broken\.py:\d+", adapters.states["ends"])
    assert "152" not in json.dumps(adapters.states)
