"""Bad input from meters (docs/reference/bad-inputs, rows 1 to 13 and 19), from their own firmware to the people.

Real collector and outbox on an in-memory air, real envelopes, the real intake and judge on a real PostgreSQL, the inboxes
that people open. At the end of each test the next good reading gets through, and the accounts balance.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fix_clinic import Clinic, words_of
from households import enrol
from one_line import MINUTE, Line, bind, line_with
from unit.gateway.homes import CUFF, GLUCOMETER
from unit.gateway.samples import TestClock
from vaults import frames

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from gateway.readings import settled
from server.people import links
from server.release import release
from server.store import quarantine
from server.store.enrolment import bind_meter
from server.store.postgres import transaction
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.date_time import DateTime
from vitals.gatt.glucose import GlucoseMeasurement
from vitals.gatt.sfloat import Sfloat

Change = Callable[[bytes], bytes]


def pressure_frame(
    systolic: Sfloat, diastolic: Sfloat, *, wall: datetime | None = None, unit: Any = "mmHg", status: int = 0
) -> bytes:
    frame = BloodPressureMeasurement(
        systolic=systolic,
        diastolic=diastolic,
        unit=unit,
        date_time=None if wall is None else DateTime.of(wall),
        pulse=Sfloat.of(72),
        status=status,
    )
    return bytes(frame)


def glucose_frame(wall: datetime, concentration: Sfloat, unit: Any = "kg/L", sequence: int = 1) -> bytes:
    frame = GlucoseMeasurement(
        sequence=sequence, base_time=DateTime.of(wall), time_offset_min=0, concentration=concentration, unit=unit
    )
    return bytes(frame)


# 1: frames


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda frame: frame[:5], "frame_length"),
        (lambda frame: frame[:-1], "frame_length"),
        (lambda frame: frame + b"\0", "frame_length"),
        (lambda frame: bytes((frame[0] | 0x40,)) + frame[1:] + b"\0", "flags"),
        (lambda frame: b"", "frame_length"),
    ],
    ids=["truncated", "a byte short", "a byte long", "reserved flag with a field of its own", "empty"],
)
async def test_1_a_frame_that_contradicts_its_flags_lies_in_the_gateways_quarantine(
    clinic: Clinic, tmp_path: Path, damage: Change, reason: str
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        wall = line.home.meter("bp").wall
        frame = damage(pressure_frame(Sfloat.of(152), Sfloat.of(94), wall=wall))
        line.keep_in("bp", frame, pressure_frame(Sfloat.of(133), Sfloat.of(81), wall=wall))
        (stored,) = await line.arrive(1)
        assert stored["systolic_mmhg"] == 133, "its neighbour is read"
        assert line.put_away_at_home() == {frame: (reason, 1)}
        assert line.home.outbox.counts().quarantined == 1


async def test_1_a_meter_that_keeps_its_records_is_asked_again_and_the_others_are_kept(
    clinic: Clinic, tmp_path: Path
) -> None:
    async with line_with(clinic, tmp_path, GLUCOMETER) as line:
        wall = line.home.meter("glu").wall
        line.home.prick()
        line.keep_in("glu", glucose_frame(wall, Sfloat.of("0.00126", -5))[:9])
        line.home.prick(mg_dl=140)
        stored = await line.arrive(2)
        await line.home.until(lambda: line.home.collector.totals.sessions >= 1)
        assert {row["glucose_mg_dl"] for row in stored} == {126, 140}
        ((_, times),) = line.put_away_at_home().values()
        assert times == 2, "asked for once more in the same session"


# 2: special values

SPECIALS = [Sfloat(mantissa=mantissa) for mantissa in (0x7FF, -0x800, 0x7FE, -0x7FE, -0x7FF)]
SPECIAL_NAMES = ["NaN", "NRes", "+INF", "-INF", "reserved"]


@pytest.mark.parametrize(
    ("systolic", "diastolic"),
    [*((special, special) for special in SPECIALS), (Sfloat.of(197), SPECIALS[0]), (SPECIALS[1], Sfloat.of(97))],
    ids=[*SPECIAL_NAMES, "no diastolic", "no systolic"],
)
async def test_2_a_special_value_is_shown_as_a_failed_measurement_and_never_as_a_number(
    clinic: Clinic, tmp_path: Path, systolic: Sfloat, diastolic: Sfloat
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.keep_in("bp", pressure_frame(systolic, diastolic, wall=line.home.meter("bp").wall))
        (stored,) = await line.arrive(1)
        assert (stored["quality"], stored["quality_reasons"]) == ("invalid", ["value_special"])
        assert line.episodes() == []
        (shown,) = line.clinic.client("doctor").get(readings_path(line)).json()["readings"]
        assert (shown["systolic_mmhg"], shown["diastolic_mmhg"], shown["mean_mmhg"]) == (None, None, None)
        assert shown["quality"] == "invalid"
        says_that_it_failed(line, never=("197/", "/97"))


@pytest.mark.parametrize("special", SPECIALS[:2], ids=SPECIAL_NAMES[:2])
async def test_2_a_special_value_of_a_glucometer_is_a_failed_measurement(
    clinic: Clinic, tmp_path: Path, special: Sfloat
) -> None:
    async with line_with(clinic, tmp_path, GLUCOMETER) as line:
        line.keep_in("glu", glucose_frame(line.home.meter("glu").wall, special))
        (stored,) = await line.arrive(1)
        assert (stored["quality"], stored["quality_reasons"]) == ("invalid", ["value_special"])
        (shown,) = line.clinic.client("doctor").get(readings_path(line)).json()["readings"]
        assert (shown["glucose_mmol_l"], shown["glucose_mg_dl"]) == (None, None)
        says_that_it_failed(line, never=("mmol/L",))


def readings_path(line: Line) -> str:
    return f"/api/v1/patients/{line.household.patient_id}/readings"


def says_that_it_failed(line: Line, *, never: tuple[str, ...]) -> None:
    """The doctor's pages in both languages, and the patient's own."""
    browser, _ = line.clinic.browser_client("doctor")
    for language, words in (("en", "measurement failed"), ("zh", "测量失败")):
        page = words_of(browser.get(f"/p/{line.household.patient_id}?lang={language}").text)
        worklist = words_of(browser.get(f"/?tab=all&lang={language}").text)
        assert words in page
        assert [number for number in never if number in page + worklist] == []
    with transaction(line.clinic.pool) as conn:
        token = links.issue_patient_link(
            conn, line.household.patient_id, now=line.clinic.clock(), valid_for=timedelta(days=1)
        )
    own_page = line.clinic.client().get(f"/me/{token}?lang=en").text.replace(token, "")
    assert "This measurement did not work" in own_page
    assert 'class="value"' not in own_page
    assert [number for number in never if number in own_page] == []


# 3: units


@pytest.mark.parametrize(
    ("systolic", "diastolic", "unit", "stored_mmhg"),
    [
        (Sfloat.of("20.3", -1), Sfloat.of("12.5", -1), "mmHg", (20.3, 12.5)),
        (Sfloat.of(152), Sfloat.of(94), "kPa", (1140.09424, 705.05828)),
    ],
    ids=["kPa said to be mmHg", "mmHg said to be kPa"],
)
async def test_3_a_pressure_that_fits_the_other_unit_is_suspect_and_not_mended(
    clinic: Clinic, tmp_path: Path, systolic: Sfloat, diastolic: Sfloat, unit: str, stored_mmhg: tuple[float, float]
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.keep_in("bp", pressure_frame(systolic, diastolic, unit=unit, wall=line.home.meter("bp").wall))
        (stored,) = await line.arrive(1)
        assert (stored["quality"], stored["quality_reasons"]) == ("invalid", ["unit_suspect"])
        assert (stored["systolic_mmhg"], stored["diastolic_mmhg"]) == pytest.approx(stored_mmhg)
        assert stored["unit_sent"] == unit
        assert line.episodes() == [], "1140 mmHg alarms nobody"
        browser, _ = clinic.browser_client("doctor")
        assert "unit mixed up" in browser.get(f"/p/{line.household.patient_id}?lang=en").text


@pytest.mark.parametrize(
    ("concentration", "unit"),
    [(Sfloat.of("7.0", -1), "mol/L"), (Sfloat.of(126), "kg/L"), (Sfloat.of("7.0", -1), "kg/L")],
    ids=["mmol/L said to be mol/L", "mg/dL said to be kg/L", "mmol/L said to be kg/L"],
)
async def test_3_a_glucose_that_fits_another_unit_is_suspect_and_not_mended(
    clinic: Clinic, tmp_path: Path, concentration: Sfloat, unit: str
) -> None:
    async with line_with(clinic, tmp_path, GLUCOMETER) as line:
        line.keep_in("glu", glucose_frame(line.home.meter("glu").wall, concentration, unit))
        (stored,) = await line.arrive(1)
        assert (stored["quality"], stored["quality_reasons"]) == ("invalid", ["unit_suspect"])
        assert stored["glucose_mmol_l"] > 50
        assert stored["unit_sent"] == unit


async def test_3_each_unit_is_converted_by_its_flag(clinic: Clinic, tmp_path: Path) -> None:
    in_moles = GLUCOMETER | {"name": "mol", "index": 2}
    async with line_with(clinic, tmp_path, CUFF, GLUCOMETER, in_moles) as line:
        wall = line.home.meter("bp").wall
        line.keep_in("bp", pressure_frame(Sfloat.of("20.3", -1), Sfloat.of("12.5", -1), unit="kPa", wall=wall))
        line.keep_in("glu", glucose_frame(wall, Sfloat.of("0.00126", -5), "kg/L"))
        line.keep_in("mol", glucose_frame(wall, Sfloat.of("0.007", -4), "mol/L"))
        stored = await line.arrive(3)
        assert {row["quality"] for row in stored} == {"accepted"}
        (pressure,) = [row for row in stored if row["kind"] == "blood_pressure"]
        assert (pressure["systolic_mmhg"], pressure["diastolic_mmhg"]) == pytest.approx((152.3, 93.8), abs=0.1)
        assert [row["glucose_mg_dl"] for row in stored if row["kind"] == "glucose"] == pytest.approx(
            [126, 126], abs=0.2
        )


# 4: values that no body has


@pytest.mark.parametrize(
    ("systolic", "diastolic"), [(94, 94), (80, 120), (301, 90), (39, 30), (150, 201), (50, 19), (-120, -80)]
)
async def test_4_an_impossible_pressure_is_kept_and_no_rule_uses_it(
    clinic: Clinic, tmp_path: Path, systolic: int, diastolic: int
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        frame = pressure_frame(Sfloat.of(systolic), Sfloat.of(diastolic), wall=line.home.meter("bp").wall)
        line.keep_in("bp", frame)
        (stored,) = await line.arrive(1)
        assert (stored["quality"], stored["quality_reasons"]) == ("invalid", ["range"])
        assert stored["systolic_mmhg"] == systolic
        assert line.episodes() == []


@pytest.mark.parametrize("concentration", [Sfloat.of("0.00005", -5), Sfloat.of("0.1", -1), Sfloat.of("-0.00126", -5)])
async def test_4_an_impossible_glucose_is_kept_and_no_rule_uses_it(
    clinic: Clinic, tmp_path: Path, concentration: Sfloat
) -> None:
    async with line_with(clinic, tmp_path, GLUCOMETER) as line:
        line.keep_in("glu", glucose_frame(line.home.meter("glu").wall, concentration))
        (stored,) = await line.arrive(1)
        assert (stored["quality"], stored["quality_reasons"]) == ("invalid", ["range"])
        assert stored["glucose_mg_dl"] == pytest.approx(float(concentration.value or 0) * 100_000)


async def test_4_three_failures_in_a_day_ask_the_patient_to_check_the_meter_once(
    clinic: Clinic, tmp_path: Path
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        for nth in (1, 2, 3, 4):
            line.home.inflate("bp", systolic=80)  # below its diastolic of 94
            await line.arrive(nth)
            assert len(line.patient_was_told()) == (nth >= 3)
            line.home.let_pass(MINUTE)
        assert line.patient_was_told()[0].startswith("Several measurements failed today. Check the cuff")
        assert line.doctor_was_told() == []
        assert line.episodes() == [("check-the-meter", "active")]


@pytest.mark.parametrize("systolic", [250, 300])
async def test_4_a_plausible_extreme_is_a_critical_alert(clinic: Clinic, tmp_path: Path, systolic: int) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.home.inflate("bp", systolic=systolic)
        (stored,) = await line.arrive(1)
        assert stored["quality"] == "accepted"
        assert line.episodes() == [("bp-critical", "active")]
        assert len(line.doctor_was_told()) == len(line.patient_was_told()) == 1


async def test_4_a_critical_pressure_with_an_impossible_pulse_makes_the_patient_measure_again(
    clinic: Clinic, tmp_path: Path
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        meter = line.home.meter("bp")
        assert isinstance(meter.firmware, BloodPressureMeter)
        meter.firmware.measure(wall=meter.wall, systolic_mmhg=220, diastolic_mmhg=130, pulse_bpm=12)
        meter.wake()
        (stored,) = await line.arrive(1)
        assert (stored["quality"], stored["quality_reasons"]) == ("rejected", ["range"])
        assert line.episodes() == [("bp-critical-repeat", "active")]
        assert len(line.patient_was_told()) == 1


# 5: status bits


@pytest.mark.parametrize(
    ("status", "quality", "reasons"),
    [
        (0x04, "accepted", ["irregular_pulse"]),
        (0x01, "rejected", ["body_movement"]),
        (0x02, "rejected", ["cuff_too_loose"]),
        (0x20, "rejected", ["improper_position"]),
        (0x07, "rejected", ["body_movement", "cuff_too_loose"]),
    ],
)
async def test_5_what_the_cuff_noticed_is_stored_with_the_reading_and_the_rule_decides(
    clinic: Clinic, tmp_path: Path, status: int, quality: str, reasons: list[str]
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        wall = line.home.meter("bp").wall
        line.keep_in("bp", pressure_frame(Sfloat.of(190), Sfloat.of(100), wall=wall, status=status))
        (stored,) = await line.arrive(1)
        assert (stored["quality"], stored["quality_reasons"]) == (quality, reasons)
        assert (stored["meter_status"], stored["systolic_mmhg"]) == (status, 190)
        rule = "bp-critical" if quality == "accepted" else "bp-critical-repeat"
        assert line.episodes() == [(rule, "active")]


# 6, 7, 8: times


async def test_6_without_a_time_stamp_the_time_of_receipt_counts(clinic: Clinic, tmp_path: Path) -> None:
    async with line_with(clinic, tmp_path, CUFF | {"clock": "absent"}) as line:
        line.home.inflate()
        (stored,) = await line.arrive(1)
        assert (stored["time_quality"], stored["meter_time"]) == ("received", None)
        assert stored["measured_at"] == stored["received_at"] == line.home.true_now


@pytest.mark.parametrize(
    "settings",
    [
        {"clock": {"offset_s": 3600}},
        {"clock": {"offset_s": -3600}},
        {"clock": {"offset_s": 400 * 86_400}},
        {"clock": {"offset_s": -5 * 365 * 86_400}},
        {"clock": "ok", "zone": "America/New_York"},
    ],
    ids=["summer time", "winter time", "a year ahead", "five years behind", "another zone"],
)
async def test_7_a_wrong_clock_that_can_be_read_is_corrected_and_its_own_words_are_kept(
    clinic: Clinic, tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with line_with(clinic, tmp_path, CUFF | settings) as line:
        meter = line.home.meter("bp")
        said = meter.firmware.clock.shown(meter.wall)
        assert said is not None
        line.home.inflate("bp", systolic=190)
        (stored,) = await line.arrive(1)
        assert (stored["time_quality"], stored["measured_at"]) == ("corrected", line.home.true_now)
        assert stored["meter_time"] == said.isoformat()
        assert line.episodes() == [("bp-critical", "active")], "a correction that is certain is judged"


@pytest.mark.parametrize("clock", ["1970", "unset"])
async def test_7_a_clock_that_was_never_set_makes_the_live_reading_suspect_and_the_stored_one_an_orphan(
    clinic: Clinic, tmp_path: Path, clock: str
) -> None:
    async with line_with(clinic, tmp_path, CUFF | {"clock": clock}) as line:
        firmware = line.home.meter("bp").firmware
        assert isinstance(firmware, BloodPressureMeter)
        for systolic in (133, 250):
            firmware.measure(wall=line.home.meter("bp").wall, systolic_mmhg=systolic, diastolic_mmhg=94)
        line.home.meter("bp").wake()
        stored = await line.arrive(2)
        by_value = {row["systolic_mmhg"]: row for row in stored}
        assert (by_value[133]["time_quality"], by_value[250]["time_quality"]) == ("suspect", "orphan")
        assert {row["meter_time"] for row in stored} == {"1970-01-01T00:00:00" if clock == "1970" else None}
        assert line.episodes() == [], "nobody is alarmed by a value of which nobody knows when it was"
        browser, _ = clinic.browser_client("doctor")
        assert "time unknown" in browser.get(f"/p/{line.household.patient_id}?lang=en").text


async def test_7_two_equal_inflations_of_a_cuff_whose_clock_is_dead_are_two_readings(
    clinic: Clinic, tmp_path: Path
) -> None:
    dead = CUFF | {"clock": "1970", "faults": {"ignores_clock_writes": True}}
    async with line_with(clinic, tmp_path, dead) as line:
        line.home.inflate("bp", systolic=152)
        assert len(await line.arrive(1)) == 1
        line.home.let_pass(timedelta(minutes=3))
        line.home.inflate("bp", systolic=152)
        first, second = await line.arrive(2)
        assert first["meter_time"] == second["meter_time"]
        assert (first["systolic_mmhg"], second["systolic_mmhg"]) == (152, 152)


async def test_7_a_time_ahead_of_now_that_nothing_explains_is_suspect(clinic: Clinic, tmp_path: Path) -> None:
    async with line_with(clinic, tmp_path, CUFF | {"clock": "absent"}) as line:
        ahead = line.home.meter("bp").wall + 6 * MINUTE
        line.keep_in("bp", pressure_frame(Sfloat.of(152), Sfloat.of(94), wall=ahead))
        (stored,) = await line.arrive(1)
        assert (stored["time_quality"], stored["meter_time"]) == ("suspect", ahead.isoformat())
        assert stored["measured_at"] == line.home.true_now


@pytest.mark.parametrize(
    ("days", "reason"), [(200, "unknown_meter"), (600, "time_implausible")], ids=["before the binding", "long before"]
)
async def test_7_a_record_from_before_enrolment_is_kept_in_quarantine(
    clinic: Clinic, tmp_path: Path, days: int, reason: str
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        long_ago = line.home.meter("bp").wall - timedelta(days=days)
        line.keep_in("bp", pressure_frame(Sfloat.of(190), Sfloat.of(94), wall=long_ago))
        assert await line.arrive(1) == []
        ((kept_reason, raw),) = line.quarantined()
        assert kept_reason == reason
        kept = json.loads(raw)
        assert kept["meter_time"] == long_ago.isoformat()
        assert abs(kept["clock_offset_s"]) < 2, "a slow session reads the meter's clock a moment later"
        by_the_meter = long_ago.replace(tzinfo=ZoneInfo(kept["zone"])) + timedelta(seconds=kept["clock_offset_s"])
        assert datetime.fromisoformat(kept["measured_at"]) == by_the_meter
        assert line.episodes() == []


async def test_8_readings_of_a_gateway_without_the_time_wait_and_are_placed_exactly(
    clinic: Clinic, tmp_path: Path
) -> None:
    clock = TestClock(wall=datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    async with line_with(clinic, tmp_path, CUFF, clock=clock) as line:
        measured_at = line.home.true_now
        line.home.inflate("bp", systolic=190)
        await line.home.until(lambda: line.home.outbox.counts().held == 1)
        assert line.payloads() == [], "before the clock is right nothing is sent"
        line.home.let_pass(10 * MINUTE)
        (held,) = line.home.outbox.held(10)
        clock.wall = line.home.true_now
        since_boot_s = held.unbelieved.since_boot_s + 600
        reading = settled(held, now=clock.wall, since_boot_s=since_boot_s, boot_id=clock.boot)
        line.home.outbox.settle(held.seq, reading)
        (stored,) = await line.arrive(1)
        assert abs(stored["measured_at"] - measured_at) <= timedelta(seconds=2)
        assert stored["time_quality"] == "corrected"
        assert line.episodes() == [("bp-critical", "active")]


async def test_8_after_a_reboot_nothing_is_known_of_the_time_and_no_rule_uses_it(
    clinic: Clinic, tmp_path: Path
) -> None:
    clock = TestClock(wall=datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    async with line_with(clinic, tmp_path, CUFF, clock=clock) as line:
        line.home.inflate("bp", systolic=190)
        await line.home.until(lambda: line.home.outbox.counts().held == 1)
        (held,) = line.home.outbox.held(10)
        clock.wall, clock.boot_s, clock.boot = line.home.true_now, 5.0, "boot-2"
        reading = settled(held, now=clock.wall, since_boot_s=clock.boot_s, boot_id=clock.boot)
        line.home.outbox.settle(held.seq, reading)
        (stored,) = await line.arrive(1)
        assert stored["time_quality"] == "orphan"
        assert line.episodes() == []


# 9, 10: whose


async def test_9_an_unknown_meter_lies_ready_to_be_bound_and_no_patient_is_guessed(
    clinic: Clinic, tmp_path: Path
) -> None:
    async with line_with(clinic, tmp_path, CUFF, bound=False) as line:
        raw = line.home.inflate("bp", systolic=250)
        await line.home.until_kept(1)
        assert line.send() == {1: "unknown_meter"}
        line.judge()
        assert line.rows("select 1 from reading") == line.rows("select 1 from due where reason <> 'timer'") == []
        assert line.doctor_was_told() == line.patient_was_told() == []
        with transaction(clinic.pool) as conn:
            (shown,), _ = quarantine.list_open(conn, limit=10)
            assert (shown.gateway_id, shown.meter_id) == (line.household.gateway_id, "F0:00:00:10:00:01")
        bind(line, shown.meter_id)
        with transaction(clinic.pool) as conn:
            release(conn, meter_id=shown.meter_id, user_slot=None, by="nurse")
        line.judge()
        with transaction(clinic.pool) as conn:
            (kept,) = frames(conn).values()
        assert kept.raw == raw
        assert line.episodes() == [("bp-critical", "active")]


async def test_10_a_meter_that_is_bound_in_another_home_is_nobodys_here(clinic: Clinic, tmp_path: Path) -> None:
    async with line_with(clinic, tmp_path, CUFF, bound=False) as line:
        with transaction(clinic.pool) as conn:
            other = enrol(conn, enrolled_on=line.household.since.date())
            bind_meter(
                conn,
                meter_id="F0:00:00:10:00:01",
                user_slot=None,
                gateway_id=other.gateway_id,
                patient_id=other.patient_id,
                bound_by="test",
                now=other.since,
            )
        line.home.inflate("bp", systolic=250)
        await line.home.until_kept(1)
        assert line.send() == {1: "binding_conflict"}
        assert line.rows("select 1 from reading") == []


# 12, 13: again


@pytest.mark.parametrize("faults", [{"drops_after_indication": 1}, {"sends_twice": True}], ids=["unconfirmed", "twice"])
async def test_12_a_record_that_the_meter_sends_again_is_one_row_and_one_alert(
    clinic: Clinic, tmp_path: Path, faults: dict[str, Any]
) -> None:
    async with line_with(clinic, tmp_path, CUFF | {"faults": faults}) as line:
        line.home.inflate("bp", systolic=190)
        await line.home.until(lambda: line.home.collector.totals.repeated == 1)
        assert len(await line.arrive(1)) == 1
        assert line.episodes() == [("bp-critical", "active")]
        assert len(line.doctor_was_told()) == len(line.patient_was_told()) == 1


async def test_12_a_report_in_which_every_record_comes_twice_is_kept_once(clinic: Clinic, tmp_path: Path) -> None:
    async with line_with(clinic, tmp_path, GLUCOMETER | {"faults": {"sends_twice": True}}) as line:
        for mg_dl in (120, 130, 140):
            line.home.prick(mg_dl=mg_dl)
        await line.home.until(lambda: line.home.collector.totals.sessions >= 1)
        assert sorted(row["glucose_mg_dl"] for row in await line.arrive(3)) == [120, 130, 140]


@pytest.mark.parametrize(
    "again",
    [
        lambda line, payload: line.take(payload),
        lambda line, payload: line.intake.take_all([(line.household.gateway_id, payload)] * 3),
        lambda line, payload: line.take(payload.replace(line.home.outbox.epoch.encode(), b"fedcba9876543210")),
    ],
    ids=["the gateway sends again", "the broker delivers again", "an old capture is replayed by another outbox"],
)
async def test_12_what_comes_again_on_the_way_is_one_row_and_one_alert(
    clinic: Clinic, tmp_path: Path, again: Callable[[Line, bytes], object]
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.home.inflate("bp", systolic=190)
        await line.home.until_kept(1)
        (payload,) = line.payloads()
        await line.arrive(1)
        assert again(line, payload)
        line.judge()
        (account,) = line.rows("select stored, repeated, quarantined from gateway_account")
        assert (account["stored"], account["quarantined"]) == (1, 0)
        assert account["repeated"] >= 1
        assert len(line.rows("select 1 from reading")) == 1
        assert line.episodes() == [("bp-critical", "active")]
        assert len(line.doctor_was_told()) == len(line.patient_was_told()) == 1


async def test_13_the_same_id_with_other_content_keeps_both_and_alarms_no_patient(
    clinic: Clinic, tmp_path: Path
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.home.inflate("bp", systolic=133)
        await line.home.until_kept(1)
        (payload,) = line.payloads()
        (stored,) = await line.arrive(1)
        forged = payload.replace(b'"systolic_mmhg":133.0', b'"systolic_mmhg":233.0').replace(b'"seq":1', b'"seq":2')
        assert forged != payload
        receipt = line.take(forged)
        assert receipt is not None
        assert [each.reason for each in receipt.rejected] == ["id_collision"]
        assert line.rows("select systolic_mmhg from reading") == [{"systolic_mmhg": 133}]
        ((reason, raw),) = line.quarantined()
        assert (reason, b"233.0" in raw) == ("id_collision", True)
        assert line.episodes() == []
        assert str(stored["reading_id"]).encode() in raw


# 19: late, out of order


@pytest.mark.parametrize("is_news", [True, False], ids=["the last days are high, too", "the last days are in order"])
async def test_19_a_month_of_memory_in_any_order_is_stored_whole_and_told_only_if_it_is_still_news(
    clinic: Clinic, tmp_path: Path, is_news: bool
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        wall = line.home.meter("bp").wall
        frames = [
            pressure_frame(
                Sfloat.of(152 if is_news or days > 20 else 124),
                Sfloat.of(94 if is_news or days > 20 else 76),
                wall=wall - timedelta(days=days, minutes=minutes),
            )
            for days in (28, 27, 26, 3, 2, 1)
            for minutes in (40, 5)
        ]
        line.keep_in("bp", *frames[::-2], *frames[::2])
        assert len(await line.arrive(len(frames))) == len(frames)
        (episode,) = line.rows("select state, last_day - first_day as days from episode")
        assert (episode["state"], episode["days"]) == (("active", 27) if is_news else ("resolved", 2))
        assert len(line.doctor_was_told()) == len(line.patient_was_told()) == is_news
