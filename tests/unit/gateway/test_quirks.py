"""What is known of odd meters: the file itself, and each entry against a simulated meter that has its ways."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from unit.gateway.joined import Home
from unit.gateway.samples import GATEWAY, METER, NOW, SHANGHAI
from unit.gateway.scripted_meter import Told

from firmware_sims import glucometer
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.firmware import Firmware
from firmware_sims.glucometer import Glucometer
from firmware_sims.happenings import firmware_of
from firmware_sims.personalities import PERSONALITIES
from firmware_sims.settings import Meter, User, WrongClock
from firmware_sims.weight_scale import WeightScale
from gateway.readings import to_reading
from gateway.sessions import conversation
from gateway.sessions.blood_pressure import decode as decode_cuff
from gateway.sessions.commands import Keep, Subscribe, Write
from gateway.sessions.conversation import Findings, Known, converse, take_late
from gateway.sessions.maker_clocks import in_command
from gateway.sessions.meter_clock import ClockCare
from gateway.sessions.quirk_frames import decode_as
from gateway.sessions.quirks import REASON, STANDARD, Quirk, Who, parse, quirk_of, registry
from gateway.sessions.record_access import RECORD_COUNT
from gateway.sessions.unasked import UNFINISHED, Sent
from gateway.sessions.weight_scale import decode as decode_scale
from gateway.timing import place
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.link import LinkError, Notified
from vitals.quality import Quality, grade
from vitals.reading import BloodPressure, Glucose, Reading, TimeQuality, Weight

HOUR = timedelta(hours=1)
ENTRY = {
    "Omron BP5150": "omron-clock-window",
    "A&D UA-651BLE": "and-ua-651",
    "Beurer BM85": "beurer-bm85",
    "Beurer BM59": "beurer-bm59",
    "Silvercrest SBM69": "sanitas-sbm69",
    "Beurer BM54": "beurer-cuffs",
    "boso medicus": "boso-medicus",
    "QardioArm": "qardioarm",
    "Medisana BU570": "medisana-bu",
    "TaiDoc DM30b": "taidoc-reversed",
    "CareSens Dual": "caresens",
    "OneTouch Verio Flex": "lifescan",
    "Accu-Chek Aviva Connect": "accu-chek",
    "Contour Next One": "contour",
    "Renpho ES-WBE28": "renpho-es-wbe28",
    "Xiaomi XMTZC04HM": "xiaomi-scale",
    "Detecto 7550": "detecto",
    "Beurer BF720": "beurer-scales",
}


def _model(name: str, *, clock: object = "ok", users: tuple[User, ...] = ()) -> Firmware:
    kind = PERSONALITIES[name].kind
    if name == "Beurer BF720":
        users = users or (User(index=1, consent_code=1234),)
    return firmware_of(Meter(name="odd", kind=kind, index=1, model=name, clock=clock, users=users))  # type: ignore[arg-type]


def _home(name: str, *, clock: object = "ok") -> Home:
    return Home(_model(name, clock=clock))


def _measure(home: Home, *, ago: timedelta = timedelta(0), value: float = 148) -> None:
    match home.meter:
        case BloodPressureMeter() as cuff:
            cuff.measure(wall=home.wall - ago, systolic_mmhg=value, diastolic_mmhg=92, pulse_bpm=72, user_slot=1)
        case Glucometer() as glucometer:
            glucometer.measure(wall=home.wall - ago, glucose_mg_dl=value)
        case WeightScale() as scale:
            scale.measure(wall=home.wall - ago, weight_kg=value, user_slot=1)


def _readings(home: Home) -> list[Reading]:
    return [
        to_reading(record, meter_id=METER, gateway_id=GATEWAY, zone=SHANGHAI, decoder="test") for record in home.kept
    ]


@pytest.fixture
def no_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nobody had written the file."""
    monkeypatch.setattr(conversation, "quirk_of", lambda *_: STANDARD)


# -- the file ----------------------------------------------------------------------------------------------------------


def test_every_entry_has_a_simulated_meter_and_every_such_meter_its_entry() -> None:
    assert set(ENTRY.values()) == {each.id for each in registry()}
    assert set(ENTRY) == set(PERSONALITIES)


@pytest.mark.parametrize(("model", "entry"), ENTRY.items())
def test_a_session_with_the_simulated_meter_finds_its_entry(model: str, entry: str) -> None:
    home = _home(model)
    _measure(home)
    assert home.session().quirk.id == entry


@pytest.mark.parametrize("entry", registry(), ids=lambda entry: entry.id)
def test_every_entry_names_its_sources_and_does_something(entry: Quirk) -> None:
    assert all(len(source.split()) > 3 for source in entry.source), "repository, file and what it says"
    plain = Quirk(id=entry.id, meter=entry.meter, source=entry.source, who=entry.who, has=entry.has)
    assert entry != plain


def test_the_page_on_odd_meters_has_a_row_for_every_entry() -> None:
    page = Path("docs/reference/odd-meters.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    assert {row[4].strip(" `"): row[1].strip(" `") for row in rows} == ENTRY


def test_without_an_entry_a_meter_is_a_standard_one() -> None:
    assert quirk_of({"manufacturer": "Nobody"}, "Nothing", frozenset({"2a35", "2a9d", "2a18"})) is STANDARD
    assert quirk_of({}, None, frozenset({"2a35"})) is STANDARD


def test_an_entry_is_found_whatever_the_case_and_only_with_its_characteristics() -> None:
    assert quirk_of({}, "BLESmart_0000025828FFB20591B5", frozenset({"2a35", "2a2b"})).id == "omron-clock-window"
    assert quirk_of({}, "BLESmart_0000025828FFB20591B5", frozenset({"2a9d"})) is STANDARD


def test_what_is_known_of_a_model_stands_before_what_is_known_of_its_maker() -> None:
    cuff = frozenset({"2a35"})
    assert quirk_of({"manufacturer": "Beurer GmbH"}, "Beurer BM85", cuff).id == "beurer-bm85"
    assert quirk_of({"manufacturer": "Beurer GmbH"}, None, cuff).id == "beurer-cuffs"
    assert quirk_of({"manufacturer": "Beurer GmbH"}, "BM54", frozenset({"2a1c"})) is STANDARD


@pytest.mark.parametrize("name", ["1490BS", "1872B"])
def test_both_names_of_the_medisana_family_are_known(name: str) -> None:
    """bkbilly/medisanabp_ble, issue 10 and pull request 2."""
    assert quirk_of({}, name, frozenset({"2a35"})).id == "medisana-bu"


@pytest.mark.parametrize("name", ["BM48", "BM85", "ELITE900", "my BM48"])
def test_a_beurer_that_writes_big_end_first_is_known_by_its_name_alone(name: str) -> None:
    """derdilla/blood-pressure-monitor-fl, GattBloodPressureProfile.isKnownBigEndianDevice: names that contain these."""
    assert quirk_of({}, name, frozenset({"2a35"})).unverified is not None


def _known_scale(**besides: Any) -> Known:
    return Known(characteristics=frozenset({"2a29", "2a24", "2a9d"}), zone=SHANGHAI, **besides)


@pytest.mark.parametrize("unheard", [None, "F0-00-00-10-00-01", "F0:00:00:10:00:01"])
def test_a_meter_whose_name_was_not_heard_this_time_is_known_by_the_one_that_was(unheard: str | None) -> None:
    """Read by the standard, the count of a Renpho is a tenth of the weight."""
    meter = Told(values={"2a29": "", "2a24": ""})
    first, second = Findings(), Findings()
    meter.play(converse(_known_scale(name="Renpho-Scale"), first))
    meter.play(converse(_known_scale(name=unheard, about=first.about), second))
    assert (first.quirk.id, second.quirk.id) == ("renpho-es-wbe28", "renpho-es-wbe28")


def test_what_a_meter_would_not_say_of_itself_is_asked_again() -> None:
    """Its entry may hang on it."""
    meter = Told(values={"2a29": "refused", "2a24": b"DM30b".hex()})
    first, second, third = Findings(), Findings(), Findings()
    meter.play(converse(_known_scale(), first))
    meter.values["2a29"] = b"Renpho".hex()
    meter.play(converse(_known_scale(about=first.about), second))
    meter.asked.clear()
    meter.play(converse(_known_scale(about=second.about), third))
    assert [each.quirk.id for each in (first, second, third)] == ["standard", "renpho-es-wbe28", "renpho-es-wbe28"]
    assert not any(each.startswith("read 2a2") for each in meter.asked), "and what is known is not"


def test_a_firmware_can_be_asked_for() -> None:
    old = Who(manufacturer="Tai*", firmware="v1.2.*")
    assert old.fits({"manufacturer": "TaiDoc", "firmware": "v1.2.4"}, None)
    assert not old.fits({"manufacturer": "TaiDoc", "firmware": "v2.0"}, None)
    assert not old.fits({"manufacturer": "TaiDoc"}, None)


GOOD = """
[[quirk]]
id = "one"
meter = "a meter of this test"
source = ["a repository, a file, a line"]
who = [{ name = "One" }]
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("who =", "whom ="), "whom"),
        (GOOD.replace('source = ["a repository, a file, a line"]', "source = []"), "source"),
        (GOOD.replace('{ name = "One" }', "{ }"), "every meter"),
        (GOOD.replace('who = [{ name = "One" }]', ""), "neither who"),
        (GOOD.replace('who = [{ name = "One" }]', 'has = ["2a35"]'), "neither who"),
        (GOOD + 'has = ["2A35"]', "no name of a characteristic"),
        (GOOD + GOOD, "two entries"),
        (GOOD + 'frames = "upside_down"', "upside_down"),
        (GOOD + "frames = ", "Invalid value"),
    ],
)
def test_a_file_that_is_not_as_documented_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(MalformedError, match=says) as refused:
        parse(text)
    assert refused.value.reason == "quirks_file"


# -- frames, pinned to what was captured -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "pressures", "pulse", "user", "status"),
    [
        ("566A0047000000EA07080B121F00003F000000", (106, 71), 63, 0, 0),
        ("56710049000000EA07080B14380000410100 00", (113, 73), 65, 1, 0),
        ("56770046000000EA07080B1439000057010040", (119, 70), 87, 1, 0x40),
        ("56760050000000EA07080B141B00003C000004", (118, 80), 60, 0, 0x04),
    ],
    ids=[f"derdilla/blood-pressure-monitor-fl, ble_measurement_data_test, frame {n}" for n in (1, 2, 3, 4)],
)
def test_a_frame_captured_from_a_bm85_is_read(
    frame: str, pressures: tuple[int, int], pulse: int, user: int, status: int
) -> None:
    sent = decode_as("beurer_bm85", "2a35", decode_cuff)(bytes.fromhex(frame))
    assert isinstance(sent, Sent)
    assert isinstance(sent.measurement, BloodPressure)
    assert (sent.measurement.systolic_mmhg, sent.measurement.diastolic_mmhg) == pressures
    assert (sent.measurement.pulse_bpm, sent.user_slot, sent.measurement.status) == (pulse, user, status)
    assert sent.measurement.mean_mmhg is None, "a mean of 0 is none"


def test_a_frame_captured_from_a_renpho_is_read_in_its_own_counts() -> None:
    """KristianP26/ble-scale-sync, tests/scales/renpho.test.ts: 94.9 kg, and a user who is everybody."""
    sent = decode_as("renpho", "2a9d", decode_scale)(bytes.fromhex("4E6A07EA0707040C1A06AA00000000"))
    assert isinstance(sent, Sent)
    assert isinstance(sent.measurement, Weight)
    assert (sent.measurement.weight_kg, sent.user_slot) == (94.9, None)
    assert sent.date_time is not None
    assert sent.date_time.iso == "2026-07-04T12:26:06"


def test_a_frame_captured_from_a_standing_xiaomi_is_read() -> None:
    """KristianP26/ble-scale-sync#353: 201.10 lb."""
    sent = decode_as("xiaomi", "2a9d", decode_scale)(bytes.fromhex("238E4EEA070818103913"))
    assert isinstance(sent, Sent)
    assert isinstance(sent.measurement, Weight)
    assert sent.measurement.weight_sent == 201.1


@pytest.mark.parametrize(
    ("frames", "characteristic", "frame"),
    [
        ("beurer_bm85", "2a35", "1E94005C006F00EA070B1507051E480001 0400"),
        ("beurer_bm85", "2a35", "566A0047000000EA07080B121F00003F0000"),
        ("beurer_bm85", "2a35", ""),
        ("renpho", "2a9d", "01D007"),
        ("renpho", "2a9d", "000019"),
        ("renpho", "2a9d", "0ED007EA0707040C1A06AA00000000"),
        ("detecto", "2a9d", "00A438"),
        ("detecto", "2a9d", "08A438F200C206"),
        ("detecto", "2a9d", "11A438"),
        ("detecto", "2a9d", "21A438"),
        ("detecto", "2a9d", "01"),
        ("renpho", "2a9d", "4EFF9AEA0707040C1A06AA00000000"),
        ("renpho", "2a9d", "4E"),
        ("xiaomi", "2a9d", "628E4EEA070818103913"),
        ("xiaomi", "2a9d", "22"),
        ("standard", "2a9d", "4E6A07EA0707040C1A06AA00000000"),
        ("standard", "2a9d", "238E4EEA070818103913"),
        ("standard", "2a9d", "108E4E"),
    ],
)
def test_a_frame_in_a_way_that_nobody_has_shown_is_refused(frames: str, characteristic: str, frame: str) -> None:
    decode = decode_cuff if characteristic == "2a35" else decode_scale
    with pytest.raises(MalformedError):
        decode_as(frames, characteristic, decode)(bytes.fromhex(frame))  # type: ignore[arg-type]


def test_a_detecto_is_read_in_pounds() -> None:
    """Detecto 7550 owner's manual 0065-0647-OM rev. E, page 56: 0.01 lb, as the standard has it."""
    sent = decode_as("detecto", "2a9d", decode_scale)(bytes.fromhex("09344BF200A802"))
    assert isinstance(sent, Sent)
    assert isinstance(sent.measurement, Weight)
    assert (sent.measurement.weight_sent, sent.measurement.unit_sent) == (192.52, "lb")


# -- cuffs -------------------------------------------------------------------------------------------------------------


def test_a_bm85_is_read_with_its_entry_and_set_aside_without() -> None:
    home = _home("Beurer BM85")
    _measure(home)
    home.session()
    (reading,) = _readings(home)
    assert isinstance(reading.measurement, BloodPressure)
    assert (reading.measurement.systolic_mmhg, reading.measurement.pulse_bpm, reading.user_slot) == (148, 72, 1)
    assert reading.raw[0] == 0x56, "as sent"


@pytest.mark.usefixtures("no_entries")
def test_a_bm85_without_its_entry_is_set_aside() -> None:
    home = _home("Beurer BM85")
    _measure(home)
    home.session()
    assert (home.kept, [each.reason for each in home.set_aside]) == ([], ["flags"])


@pytest.mark.parametrize("model", ["Silvercrest SBM69", "Beurer BM54", "OneTouch Verio Flex"])
def test_of_a_maker_who_is_known_to_deviate_no_unknown_model_is_read(model: str) -> None:
    home = _home(model)
    _measure(home)
    findings = home.session()
    assert home.kept == []
    aside = [each for each in home.set_aside if each.reason == REASON]
    assert aside
    assert all(each.raw and each.detail == findings.quirk.unverified for each in aside)
    assert findings.highest_sequence is None, "it is to be read whole, one day"


def test_a_bm59_is_read_although_its_maker_deviates() -> None:
    home = _home("Beurer BM59")
    _measure(home)
    home.session()
    assert len(home.kept) == 1


def test_what_a_qardioarm_shows_while_it_inflates_is_no_reading() -> None:
    home = _home("QardioArm")
    _measure(home)
    home.session()
    (reading,) = _readings(home)
    assert isinstance(reading.measurement, BloodPressure)
    assert reading.measurement.systolic_mmhg == 148
    assert home.set_aside == []
    assert reading.time_quality is TimeQuality.CORRECTED


def test_an_inflation_without_a_result_leaves_its_last_pressure_aside() -> None:
    home = _home("QardioArm")
    for rising in ("0078 00 0000 0000", "00B4 00 0000 0000"):
        home.meter.keep(bytes.fromhex(rising))
    home.session()
    assert home.kept == []
    assert [(each.reason, each.raw[1]) for each in home.set_aside] == [(UNFINISHED, 0xB4)]


def test_a_qardioarm_is_never_told_to_inflate() -> None:
    home = _home("QardioArm")
    _measure(home)
    home.session()
    assert not any(isinstance(each, Write) and each.characteristic not in ("2a2b",) for each in home.commands)


def test_a_broken_off_reading_of_a_qardioarm_is_invalid() -> None:
    """ptylr/LibreArm#8: 2047/238, which is not-a-number and a pressure."""
    home = _home("QardioArm")
    home.meter.keep(bytes.fromhex("10FF07EE00FF070000"))
    home.session()
    assert grade(home.kept[0].measurement)[0] is Quality.INVALID


@pytest.mark.usefixtures("no_entries")
def test_without_its_entry_no_pressure_of_an_inflating_qardioarm_is_accepted() -> None:
    home = _home("QardioArm")
    _measure(home)
    home.session()
    assert [grade(each.measurement)[0] for each in home.kept] == [Quality.INVALID] * 3 + [Quality.ACCEPTED]


def test_a_failed_measurement_of_a_boso_is_kept_without_a_number() -> None:
    home = _home("boso medicus")
    _measure(home)
    home.session()
    assert grade(home.kept[0].measurement) == (Quality.INVALID, ("value_special",))


@pytest.mark.parametrize("model", ["A&D UA-651BLE", "Medisana BU570"])
def test_a_meter_in_a_hurry_is_read_before_it_leaves(model: str) -> None:
    home = _home(model)
    _measure(home, ago=2 * HOUR)
    _measure(home)
    home.session()
    assert len(home.kept) == 2


@pytest.mark.usefixtures("no_entries")
def test_without_its_entry_a_meter_in_a_hurry_is_gone_and_has_lost_nothing() -> None:
    home = _home("A&D UA-651BLE")
    _measure(home)
    home.session()
    assert home.kept == []
    assert isinstance(home.meter, BloodPressureMeter)
    assert len(home.meter.records) == 1


def test_an_ands_clock_stands_beside_its_records_and_corrects_them_though_it_leaves_before_it_is_set() -> None:
    home = _home("A&D UA-651BLE", clock=WrongClock(offset_s=-7200))
    _measure(home, ago=HOUR)
    findings = home.session()
    placed = place(home.kept[0].evidence, SHANGHAI)
    assert placed.time_quality is TimeQuality.CORRECTED
    assert abs(placed.measured_at - (NOW - HOUR)) < timedelta(seconds=2)
    assert findings.clock_care is ClockCare.LEFT_WRONG


# -- clocks ------------------------------------------------------------------------------------------------------------


def test_an_omrons_clock_is_set_in_its_window_and_its_records_are_placed_by_the_clock_of_before() -> None:
    home = _home("Omron BP5150", clock=WrongClock(offset_s=-7200))
    _measure(home, ago=HOUR)
    findings = home.session()
    assert findings.clock_care is ClockCare.SET
    shown = home.shown_on_meter()
    assert shown is not None
    assert abs(home.wall - shown) < timedelta(seconds=1)
    placed = place(home.kept[0].evidence, SHANGHAI)
    assert (placed.time_quality, abs(placed.measured_at - (NOW - HOUR)) < timedelta(seconds=2)) == ("corrected", True)


def test_what_an_omron_measures_after_its_window_is_not_placed_by_the_clock_of_before() -> None:
    home = _home("Omron BP5150", clock=WrongClock(offset_s=7200))
    _measure(home, ago=HOUR)
    findings = home.session()
    assert isinstance(home.meter, BloodPressureMeter)
    raw = home.meter.measure(wall=home.wall, systolic_mmhg=150, diastolic_mmhg=92, pulse_bpm=72)
    late = Told()
    late.play(take_late(Notified(characteristic="2a35", value=raw), findings, received_at=home.now))
    placed = place(late.kept[0].evidence, SHANGHAI)
    assert (placed.time_quality, abs(placed.measured_at - home.now) < timedelta(seconds=2)) == ("trusted", True)


def test_an_omron_that_is_off_by_less_than_ten_minutes_is_left_alone() -> None:
    home = _home("Omron BP5150", clock=WrongClock(offset_s=-300))
    _measure(home)
    findings = home.session()
    assert findings.clock_care is ClockCare.LEFT_WRONG
    assert not any(isinstance(each, Write) for each in home.commands)


def test_an_omron_whose_window_takes_the_time_and_ignores_it_is_seen_through() -> None:
    home = _home("Omron BP5150", clock=WrongClock(stuck_at=datetime(2026, 1, 1)))  # noqa: DTZ001
    _measure(home)
    assert home.session().clock_care is ClockCare.IGNORED


def test_no_window_is_used_while_our_own_clock_cannot_be_believed() -> None:
    home = _home("Omron BP5150", clock=WrongClock(offset_s=-7200))
    _measure(home)
    assert home.session(is_clock_believable=False).clock_care is ClockCare.LEFT_WRONG
    assert not any(isinstance(each, Write) for each in home.commands)


@pytest.mark.usefixtures("no_entries")
def test_without_its_entry_an_omron_refuses_and_is_corrected_all_the_same() -> None:
    home = _home("Omron BP5150", clock=WrongClock(offset_s=-7200))
    _measure(home, ago=HOUR)
    assert home.session().clock_care is ClockCare.REFUSED
    assert place(home.kept[0].evidence, SHANGHAI).time_quality is TimeQuality.CORRECTED


@pytest.mark.parametrize(
    ("model", "characteristic", "command"),
    [
        # 16:00 in Shanghai on 21 November 2026 is 08:00 UTC, 480 minutes from it.
        ("Contour Next One", uuids.CONTOUR_CLOCK, "01EA070B150800__E001"),
        ("CareSens Dual", uuids.CARESENS_CLOCK, "C0030100EA070B151000__"),
    ],
    ids=["weliem/blessed-android, writeContourClock", "xDrip, caresens/TimeTx.java"],
)
def test_a_makers_own_clock_is_told_the_time_after_the_records(model: str, characteristic: str, command: str) -> None:
    home = _home(model, clock=WrongClock(offset_s=-7200))
    _measure(home)
    assert home.session().clock_care is ClockCare.TOLD
    (written,) = [each for each in home.commands if isinstance(each, Write) and each.characteristic == characteristic]
    before, after = command.split("__")
    said = written.value.hex().upper()
    assert said.startswith(before)
    assert said.endswith(after)
    shown = home.shown_on_meter()
    assert shown is not None
    last_kept = max(i for i, each in enumerate(home.commands) if isinstance(each, Keep))
    assert last_kept < home.commands.index(written)


def test_summer_time_is_part_of_what_a_contour_is_told() -> None:
    summer = datetime(2026, 7, 1, 12, 0, tzinfo=UTC).astimezone(ZoneInfo("America/New_York"))
    assert in_command("contour", summer) == (uuids.CONTOUR_CLOCK, bytes.fromhex("01EA0707010C000010FF"))


def test_an_accu_cheks_clock_is_read_and_never_written() -> None:
    home = _home("Accu-Chek Aviva Connect", clock=WrongClock(offset_s=-7200))
    _measure(home, ago=HOUR)
    findings = home.session()
    assert findings.clock is not None
    assert findings.clock.characteristic == uuids.DATE_TIME
    assert findings.clock_care is ClockCare.LEFT_WRONG
    assert [each.characteristic for each in home.commands if isinstance(each, Write)] == [
        "2a52",
        "2a52",
    ]  # report, and count
    assert place(home.kept[0].evidence, SHANGHAI).time_quality is TimeQuality.CORRECTED


# -- glucose -----------------------------------------------------------------------------------------------------------


def test_a_record_of_a_meter_that_counts_from_the_newest_is_one_reading_whatever_its_number_is_today() -> None:
    home = _home("TaiDoc DM30b")
    _measure(home, ago=3 * HOUR, value=101)
    _measure(home, ago=2 * HOUR, value=102)
    first = home.session()
    _measure(home, ago=HOUR, value=103)
    second = home.session(highest=first.highest_sequence)
    assert [each.measurement.glucose_mg_dl for each in home.kept if isinstance(each.measurement, Glucose)] == [
        102,
        101,
        103,
    ]
    ids = {reading.reading_id for reading in _readings(home)}
    assert len(ids) == 3
    assert (first.highest_sequence, second.highest_sequence) == (None, None)
    assert not any(isinstance(each, Subscribe) and each.characteristic == "2a34" for each in home.commands)


@pytest.mark.usefixtures("no_entries")
def test_without_its_entry_such_a_meter_is_seen_through_when_a_record_comes_back_under_another_number() -> None:
    home = _home("TaiDoc DM30b")
    for nth in range(4):
        _measure(home, ago=(9 - nth) * HOUR, value=100 + nth)
    highest = home.session().highest_sequence
    for nth in range(4, 9):
        _measure(home, ago=(9 - nth) * HOUR, value=100 + nth)
        highest = home.session(highest=highest).highest_sequence
        home.session(highest=highest)
    values = [each.measurement.glucose_mg_dl for each in home.kept if isinstance(each.measurement, Glucose)]
    assert sorted(filter(None, values)) == [100, 101, 102, 103, 104, 105, 106, 107, 108]


@pytest.mark.usefixtures("no_entries")
def test_such_a_meter_whose_memory_is_full_doubles_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new record drops the oldest: the one that is asked from is never there again."""
    monkeypatch.setattr(glucometer, "CAPACITY", 4)
    home = _home("TaiDoc DM30b")
    for nth in range(4):
        _measure(home, ago=(9 - nth) * HOUR, value=100 + nth)
    highest = home.session().highest_sequence
    for nth in range(4, 9):
        _measure(home, ago=(9 - nth) * HOUR, value=100 + nth)
        highest = home.session(highest=highest).highest_sequence
    values = [each.measurement.glucose_mg_dl for each in home.kept if isinstance(each.measurement, Glucose)]
    assert sorted(filter(None, values)) == [100, 101, 102, 103, 104, 105, 106, 107, 108]


def test_two_drops_of_one_minute_with_one_value_are_two_readings_whatever_their_numbers() -> None:
    home = _home("TaiDoc DM30b")
    for _ in range(2):
        _measure(home, ago=2 * HOUR, value=102)
    home.session()
    _measure(home, ago=HOUR, value=103)
    home.session()
    values = [each.measurement.glucose_mg_dl for each in home.kept if isinstance(each.measurement, Glucose)]
    assert sorted(filter(None, values)) == [102, 102, 103]


def test_a_record_that_neither_number_nor_time_tells_from_another_is_set_aside() -> None:
    home = _home("TaiDoc DM30b", clock="unset")
    _measure(home)
    home.session()
    assert (home.kept, {each.reason for each in home.set_aside}) == ([], {"nameless"})


def test_a_ketone_is_never_a_glucose() -> None:
    home = _home("CareSens Dual")
    assert isinstance(home.meter, Glucometer)
    home.meter.measure_ketone(wall=home.wall, mmol_l=0.6)
    _measure(home, value=126)
    home.session()
    assert [each.measurement.glucose_mg_dl for each in home.kept if isinstance(each.measurement, Glucose)] == [126]
    assert [(each.reason, each.characteristic) for each in home.set_aside] == [("ketone", "2a18"), ("ketone", "2a34")]


@pytest.mark.usefixtures("no_entries")
def test_a_ketone_of_a_meter_that_nobody_knows_is_no_glucose_either() -> None:
    home = _home("CareSens Dual")
    assert isinstance(home.meter, Glucometer)
    home.meter.measure_ketone(wall=home.wall, mmol_l=0.6)
    home.session()
    assert (home.kept, {each.reason for each in home.set_aside}) == ([], {"ketone"})


def test_a_record_that_may_be_a_ketone_is_set_aside_when_its_context_does_not_come() -> None:
    home = _home("CareSens Dual")
    assert isinstance(home.meter, Glucometer)
    with_context = home.meter.measure(wall=home.wall, glucose_mg_dl=126, meal="fasting")
    home.meter.keep(with_context.measurement)  # the same frame again, alone
    home.session()
    assert len(home.kept) == 1
    assert {each.reason for each in home.set_aside} <= {REASON, RECORD_COUNT}


# -- scales ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["Renpho ES-WBE28", "Xiaomi XMTZC04HM"])
def test_a_scale_with_its_own_flags_is_read_once_and_right(model: str) -> None:
    home = _home(model)
    _measure(home, value=72.5)
    home.session()
    assert [each.measurement.weight_kg for each in home.kept if isinstance(each.measurement, Weight)] == [72.5]
    assert home.set_aside == []


@pytest.mark.usefixtures("no_entries")
@pytest.mark.parametrize("model", ["Renpho ES-WBE28", "Xiaomi XMTZC04HM"])
def test_without_its_entry_no_frame_with_reserved_flags_is_a_weight(model: str) -> None:
    home = _home(model)
    _measure(home, value=72.5)
    home.session()
    flagged = [each for each in home.kept if each.raw[0] & 0xE0]
    assert flagged == []
    assert {each.reason for each in home.set_aside} == {REASON}


def test_a_weight_below_zero_is_set_aside() -> None:
    home = _home("Detecto 7550")
    _measure(home, value=2.5)
    home.session()
    assert (home.kept, [each.reason for each in home.set_aside]) == ([], ["flags"])


def test_a_scale_that_keeps_its_users_records_to_itself_is_left_in_peace_and_says_why() -> None:
    home = _home("Beurer BF720")
    _measure(home, value=72.5)
    findings = home.session()
    assert home.kept == []
    assert findings.quirk.remark is not None
    assert not any(isinstance(each, Write) and each.characteristic == "2a9f" for each in home.commands)


def test_a_session_that_is_refused_is_refused_with_an_entry_too() -> None:
    home = _home("OneTouch Verio Flex")
    _measure(home)
    home.loses_link_before = lambda command: isinstance(command, Write)
    with pytest.raises(LinkError):
        home.session()
