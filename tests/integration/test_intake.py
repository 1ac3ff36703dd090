"""What the server's door does with what comes in, on a real PostgreSQL: the numbers are those of the table of bad inputs."""

import json
import threading
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, get_args
from uuid import UUID

import msgspec
import numpy
import pytest
from households import EPOCH, Household, enrol
from vaults import frames, quarantined

from server.clock import now
from server.intake import Intake
from server.oracle.marks import by_itself
from server.rules.windows import FASTING, LO, Window, row_of, window_of
from server.store.enrolment import add_gateway, bind_meter
from server.store.intake import MEASURED
from server.store.judging import history_of
from server.store.postgres import Pool, transaction
from server.store.recompute import load_cases
from vitals.envelope import MAX_BYTES_TAKEN, Receipt, encode_reading
from vitals.quality import grade
from vitals.reading import (
    GUEST,
    Glucose,
    HeartRate,
    Measurement,
    OxygenSaturation,
    Reading,
    SensorGlucose,
    Temperature,
    Weight,
)


@pytest.fixture
def intake(pool: Pool) -> Intake:
    return Intake(pool)


@pytest.fixture
def home(pool: Pool) -> Household:
    with pool.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        return conn.execute(query.encode(), args).fetchall()


def ask_nothing(pool: Pool, statement: str) -> None:
    with pool.connection() as conn:
        conn.execute(statement.encode())


def earlier(minutes: float = 0) -> datetime:
    return now().replace(microsecond=0) - timedelta(hours=1, minutes=minutes)


def reasons(pool: Pool) -> list[str]:
    return [row[0] for row in ask(pool, "select reason from quarantine order by quarantine_id")]


def next_good_one_is_stored(intake: Intake, home: Household, pool: Pool, seq: int = 900) -> None:
    """The process goes on: whatever came before, the next good envelope is stored and answered."""
    reading = home.pressure(earlier(55))
    receipt = intake.take(home.envelope(reading, first_seq=seq), topic_gateway=home.gateway_id)
    assert receipt is not None
    assert seq in receipt.extra or receipt.upto >= seq
    assert receipt.rejected == ()
    assert ask(pool, "select count(*) from reading where reading_id = %s", reading.reading_id) == [(1,)]


def with_rows(home: Household, *rows: bytes) -> bytes:
    """An envelope from rows in whatever text."""
    head = json.dumps({"v": 1, "gateway_id": home.gateway_id, "epoch": EPOCH}).encode()[:-1]
    return head + b',"readings":[' + b",".join(rows) + b"]}"


def row(seq: int, reading: Reading) -> bytes:
    return b'{"seq":%d,"reading":%s}' % (seq, encode_reading(reading))


def test_a_reading_is_stored_whole_beside_its_bytes_and_its_patient_is_due(
    intake: Intake, home: Household, pool: Pool
) -> None:
    reading = home.pressure(earlier())
    receipt = intake.take(home.envelope(reading), topic_gateway=home.gateway_id)
    assert receipt == Receipt(epoch=EPOCH, upto=1)
    assert ask(
        pool,
        "select patient_id, reading_id, systolic_mmhg, diastolic_mmhg, pulse_bpm, quality, measured_at from reading",
    ) == [(home.patient_id, reading.reading_id, 152, 94, 72, "accepted", reading.measured_at)]
    with transaction(pool) as conn:
        (kept,) = frames(conn).values()
    assert kept.raw == reading.raw
    assert msgspec.json.decode(kept.sent, type=Reading) == reading
    assert ask(pool, "select patient_id, since, reason, quiet, due_at <= now() from due where reason <> 'timer'") == [
        (home.patient_id, reading.measured_at, "reading", False, True)
    ]
    assert ask(pool, "select last_heard_at is not null from gateway") == [(True,)]


def test_glucose_is_stored_in_both_units_with_its_meal(intake: Intake, home: Household, pool: Pool) -> None:
    intake.take(home.envelope(home.glucose(earlier(), 126)), topic_gateway=home.gateway_id)
    ((mmol, mg, meal),) = ask(pool, "select glucose_mmol_l, glucose_mg_dl, meal from reading")
    assert (round(mmol, 3), mg, meal) == (6.993, 126, "fasting")


OTHERS: tuple[tuple[Measurement, dict[str, Any]], ...] = (
    (
        Weight(weight_kg=72.5, unit_sent="lb", weight_sent=159.8, bmi=24.2, height_m=1.73),
        {"kind": "weight", "weight_kg": 72.5, "unit_sent": "lb"},
    ),
    (
        OxygenSaturation(spo2_percent=93.0, pulse_bpm=88.0, status=0x4120, sensor_status=0x20),
        {
            "kind": "oxygen_saturation",
            "spo2_percent": 93.0,
            "pulse_bpm": 88.0,
            "meter_status": 0x4120,
            "quality": "rejected",
            "quality_reasons": ["sensor_status"],
        },
    ),
    (
        Temperature(temperature_celsius=38.4, unit_sent="°C", temperature_sent=38.4, site="tympanum"),
        {"kind": "temperature", "temperature_celsius": 38.4, "unit_sent": "°C"},
    ),
    (
        HeartRate(pulse_bpm=72.0, has_contact=False),
        {"kind": "heart_rate", "pulse_bpm": 72.0, "quality": "rejected", "quality_reasons": ["no_contact"]},
    ),
    (
        SensorGlucose(sequence=5, glucose_mmol_l=6.2, glucose_mg_dl=111.71284, unit_sent="mg/dL", status=0x100000),
        {
            "kind": "sensor_glucose",
            "glucose_mmol_l": 6.2,
            "glucose_mg_dl": 111.71284,
            "unit_sent": "mg/dL",
            "meter_status": 0x100000,
        },
    ),
    (
        SensorGlucose(sequence=10, glucose_mmol_l=None, glucose_mg_dl=None, censored="LO", status=0x400000),
        {
            "kind": "sensor_glucose",
            "glucose_censored": "LO",
            "meter_status": 0x400000,
            "quality_reasons": ["censored_lo"],
        },
    ),
)


def test_every_kind_is_stored_in_its_own_columns_and_no_other(intake: Intake, home: Household, pool: Pool) -> None:
    readings = [home.other(earlier(minutes), measured, "2a9d") for minutes, (measured, _) in enumerate(OTHERS)]
    assert intake.take(home.envelope(*readings), topic_gateway=home.gateway_id) == Receipt(
        epoch=EPOCH, upto=len(OTHERS)
    )
    nothing = dict.fromkeys(MEASURED) | {"quality": "accepted", "quality_reasons": []}
    for reading, (_, kept) in zip(readings, OTHERS, strict=True):
        expected = nothing | kept
        columns = ", ".join(expected)
        (stored,) = ask(pool, f"select {columns} from reading where reading_id = %s", reading.reading_id)
        assert dict(zip(expected, stored, strict=True)) == expected


def test_a_column_for_a_measurement_is_filled_from_a_field_that_some_kind_has() -> None:
    fields = {field for kind in get_args(Measurement) for field in kind.__struct_fields__}
    assert set(MEASURED.values()) <= fields


def test_what_was_stored_is_what_the_judge_loads_and_what_the_oracle_marks_alike(
    intake: Intake, home: Household, pool: Pool
) -> None:
    """The last of them fails: so each side grades something that is not good."""
    glucose = home.glucose(earlier(20), 126)
    others = [home.other(earlier(minutes), measured, "2a9d") for minutes, (measured, _) in enumerate(OTHERS)]
    failed = home.other(earlier(30), Weight(weight_kg=441.0, unit_sent="kg"), "2a9d")
    readings = sorted((home.pressure(earlier(10)), glucose, failed, *others), key=lambda each: each.measured_at)
    intake.take(home.envelope(*readings), topic_gateway=home.gateway_id)
    with pool.connection() as conn:
        window = history_of(conn, home.patient_id, since=home.since).window
    expected = window_of(
        row_of(
            each.measurement,
            reading_id=each.reading_id,
            measured_at=each.measured_at,
            received_at=each.received_at,
            quality=grade(each.measurement)[0].value,
            time_quality=each.time_quality.value,
        )
        for each in readings
    )
    for column in fields(Window):
        numpy.testing.assert_array_equal(getattr(window, column.name), getattr(expected, column.name), column.name)
    assert FASTING in window.meal
    assert LO in window.censored
    with pool.connection() as conn:
        (case,) = load_cases(conn, [home.patient_id], days=35, look_back=timedelta(days=1), reach=timedelta(0))
    marks = {UUID(each.name): by_itself(each) for each in case.patient.readings}
    assert marks == {each.reading_id: grade(each.measurement)[0] for each in readings}
    assert set(marks.values()) == {"accepted", "rejected", "invalid"}
    seen = {each.kind: each for each in case.patient.readings if each.name != str(failed.reading_id)}
    assert (seen["weight"].weight_kg, seen["oxygen_saturation"].sensor_status) == (Fraction("72.5"), 0x20)
    assert (seen["temperature"].temperature_celsius, seen["glucose"].meal) == (Fraction("38.4"), "fasting")
    assert {(each.is_censored, each.is_hi) for each in case.patient.readings} == {(False, False), (True, False)}


def test_quiet_history_makes_quiet_due_rows(intake: Intake, home: Household, pool: Pool) -> None:
    intake.take(home.envelope(home.pressure(earlier())), topic_gateway=home.gateway_id, quiet=True)
    assert ask(pool, "select quiet from due where reason <> 'timer'") == [(True,)]


def test_history_over_many_months_finds_room(intake: Intake, home: Household, pool: Pool) -> None:
    readings = [home.pressure(earlier() - timedelta(days=days)) for days in range(0, 90, 5)]
    receipt = intake.take(home.envelope(*readings), topic_gateway=home.gateway_id, quiet=True)
    assert receipt == Receipt(epoch=EPOCH, upto=18)
    ((since,),) = ask(pool, "select since from due where reason <> 'timer'")
    assert since == min(reading.measured_at for reading in readings)


def test_a_hole_is_visible_in_the_receipt_and_closes(intake: Intake, home: Household) -> None:
    one, two, three, four = (home.pressure(earlier(minutes)) for minutes in range(4))
    take = lambda *readings, first: intake.take(  # noqa: E731 - four lines instead of twelve
        home.envelope(*readings, first_seq=first), topic_gateway=home.gateway_id
    )
    assert take(two, three, first=2) == Receipt(epoch=EPOCH, upto=0, extra=(2, 3))
    assert take(one, first=1) == Receipt(epoch=EPOCH, upto=3)
    assert take(four, first=4) == Receipt(epoch=EPOCH, upto=4)


def test_another_epoch_counts_from_its_own_one(intake: Intake, home: Household) -> None:
    intake.take(home.envelope(home.pressure(earlier())), topic_gateway=home.gateway_id)
    other = "f" * 16
    receipt = intake.take(home.envelope(home.pressure(earlier(1)), epoch=other), topic_gateway=home.gateway_id)
    assert receipt == Receipt(epoch=other, upto=1)


# 3, 4, 5: values


@pytest.mark.parametrize(
    ("row_number", "systolic", "diastolic", "status", "quality", "why"),
    [
        ("3", 20.3, 12.5, 0, "invalid", ["unit_suspect"]),
        ("4", 90, 120, 0, "invalid", ["range"]),
        ("4", 301, 100, 0, "invalid", ["range"]),
        ("4", 250, 130, 0, "accepted", []),
        ("5", 152, 94, 0x04, "accepted", ["irregular_pulse"]),
        ("5", 152, 94, 0x01, "rejected", ["body_movement"]),
    ],
)
def test_a_doubtful_value_is_stored_with_its_mark(
    intake: Intake,
    home: Household,
    pool: Pool,
    row_number: str,
    systolic: float,
    diastolic: float,
    status: int,
    quality: str,
    why: list[str],
) -> None:
    reading = home.pressure(earlier(), systolic, diastolic)
    reading = msgspec.structs.replace(reading, measurement=msgspec.structs.replace(reading.measurement, status=status))
    assert intake.take(home.envelope(reading), topic_gateway=home.gateway_id) == Receipt(epoch=EPOCH, upto=1)
    assert ask(pool, "select quality, quality_reasons from reading") == [(quality, why)]
    next_good_one_is_stored(intake, home, pool)


def test_control_solution_is_stored_and_marked_invalid(intake: Intake, home: Household, pool: Pool) -> None:
    reading = home.glucose(earlier())
    assert isinstance(reading.measurement, Glucose)
    control = msgspec.structs.replace(reading.measurement, sample_type="control_solution")
    intake.take(home.envelope(msgspec.structs.replace(reading, measurement=control)), topic_gateway=home.gateway_id)
    assert ask(pool, "select quality, quality_reasons from reading") == [("invalid", ["control_solution"])]


# 7: times


@pytest.mark.parametrize(
    "measured_at",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2, 1, 1, tzinfo=UTC),
        datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC),
        "in six minutes",
        "501 days ago",
    ],
)
def test_7_an_impossible_time_is_quarantined(
    intake: Intake, home: Household, pool: Pool, measured_at: datetime | str
) -> None:
    match measured_at:
        case "in six minutes":
            measured_at = now() + timedelta(minutes=6)
        case "501 days ago":
            measured_at = now() - timedelta(days=501)
    assert isinstance(measured_at, datetime)
    reading = home.pressure(earlier(), measured_at=measured_at)
    receipt = intake.take(home.envelope(reading), topic_gateway=home.gateway_id)
    assert receipt is not None
    assert [(each.seq, each.reason) for each in receipt.rejected] == [(1, "time_implausible")]
    assert receipt.upto == 1, "what is quarantined is committed too: the watermark passes it"
    assert ask(pool, "select count(*) from reading") == [(0,)]
    next_good_one_is_stored(intake, home, pool)


def test_7_a_clock_four_minutes_fast_is_believed(intake: Intake, home: Household, pool: Pool) -> None:
    intake.take(home.envelope(home.pressure(now() + timedelta(minutes=4))), topic_gateway=home.gateway_id)
    assert ask(pool, "select count(*) from reading") == [(1,)]


# 9, 10, 11: whose


def test_9_an_unknown_meter_reaches_nobody(intake: Intake, home: Household, pool: Pool) -> None:
    reading = home.pressure(earlier(), meter_id="F0:99:99:99:99:99")
    receipt = intake.take(home.envelope(reading), topic_gateway=home.gateway_id)
    assert receipt is not None
    assert receipt.rejected[0].reason == "unknown_meter"
    with transaction(pool) as conn:
        ((_, meter_id, raw),) = quarantined(conn)
    assert (meter_id, raw) == ("F0:99:99:99:99:99", encode_reading(reading))
    assert ask(pool, "select count(*) from due where reason <> 'timer'") == [(0,)]
    next_good_one_is_stored(intake, home, pool)


def test_10_a_meter_at_another_patients_gateway_is_nobodys(intake: Intake, home: Household, pool: Pool) -> None:
    with pool.connection() as conn:
        other = enrol(conn, enrolled_on=home.since.date())
    reading = home.pressure(earlier(), meter_id=other.cuff)
    intake.take(home.envelope(reading), topic_gateway=home.gateway_id)
    assert reasons(pool) == ["binding_conflict"]
    next_good_one_is_stored(intake, home, pool)


def test_11_a_slot_that_is_not_mapped_is_nobodys(intake: Intake, home: Household, pool: Pool) -> None:
    intake.take(home.envelope(home.pressure(earlier(), user_slot=2)), topic_gateway=home.gateway_id)
    assert reasons(pool) == ["unmapped_slot"]
    next_good_one_is_stored(intake, home, pool)


def test_11_a_guest_of_a_meter_that_is_bound_without_a_slot_is_nobodys(
    intake: Intake, home: Household, pool: Pool
) -> None:
    intake.take(home.envelope(home.pressure(earlier(), user_slot=GUEST)), topic_gateway=home.gateway_id)
    assert reasons(pool) == ["unmapped_slot"]
    next_good_one_is_stored(intake, home, pool)


def test_a_reading_belongs_to_whom_the_meter_was_bound_to_then(intake: Intake, home: Household, pool: Pool) -> None:
    moved_at = now() - timedelta(days=10)
    with pool.connection() as conn:
        add_gateway(conn, "gw-next-door", "Asia/Shanghai")
        heir = enrol(conn, enrolled_on=home.since.date())
        bind_meter(
            conn,
            meter_id=home.cuff,
            user_slot=None,
            gateway_id=home.gateway_id,
            patient_id=heir.patient_id,
            bound_by="nurse",
            now=moved_at,
        )
    before, after = home.pressure(moved_at - timedelta(hours=1)), home.pressure(moved_at + timedelta(hours=1))
    too_early = home.pressure(home.since - timedelta(days=1))
    intake.take(home.envelope(before, after, too_early), topic_gateway=home.gateway_id)
    assert ask(pool, "select patient_id from reading order by measured_at") == [(home.patient_id,), (heir.patient_id,)]
    assert ask(pool, "select reason, detail from quarantine") == [
        ("unknown_meter", "not bound to anybody at that time")
    ]


# 12, 13: again


def test_12_a_repeated_reading_is_kept_once_and_answered_the_same(intake: Intake, home: Household, pool: Pool) -> None:
    envelope = home.envelope(home.pressure(earlier()), home.pressure(earlier(1), user_slot=7))
    first = intake.take(envelope, topic_gateway=home.gateway_id)
    assert intake.take(envelope, topic_gateway=home.gateway_id) == first
    assert ask(pool, "select received, stored, repeated, quarantined from gateway_account") == [(4, 1, 2, 1)]
    assert ask(pool, "select count(*) from due where reason <> 'timer'") == [(1,)]


def test_12_the_same_reading_twice_in_one_batch_is_kept_once(intake: Intake, home: Household, pool: Pool) -> None:
    reading = home.pressure(earlier())
    receipts = intake.take_all(
        [
            (home.gateway_id, home.envelope(reading, reading)),
            (home.gateway_id, home.envelope(reading, first_seq=1)),
        ]
    )
    assert receipts == (Receipt(epoch=EPOCH, upto=2), Receipt(epoch=EPOCH, upto=2))
    assert ask(pool, "select received, stored, repeated, quarantined from gateway_account") == [(3, 1, 2, 0)]


def test_12_a_correction_of_the_clock_does_not_make_a_second_reading(
    intake: Intake, home: Household, pool: Pool
) -> None:
    at = earlier()
    intake.take(home.envelope(home.pressure(at)), topic_gateway=home.gateway_id)
    corrected = home.pressure(at, measured_at=at - timedelta(minutes=7))
    intake.take(home.envelope(corrected, first_seq=2), topic_gateway=home.gateway_id)
    assert ask(pool, "select measured_at from reading") == [(at,)]


def test_12_a_context_that_comes_later_is_a_repeat(intake: Intake, home: Household, pool: Pool) -> None:
    reading = home.glucose(earlier())
    bare = msgspec.structs.replace(reading, measurement=msgspec.structs.replace(reading.measurement, meal=None))
    intake.take(home.envelope(bare), topic_gateway=home.gateway_id)
    receipt = intake.take(home.envelope(reading, first_seq=2), topic_gateway=home.gateway_id)
    assert receipt == Receipt(epoch=EPOCH, upto=2)


def test_13_the_same_id_with_other_content_keeps_both(intake: Intake, home: Household, pool: Pool) -> None:
    at = earlier()
    reading = home.pressure(at)
    intake.take(home.envelope(reading), topic_gateway=home.gateway_id)
    forged = home.pressure(at, 120, 80, reading_id=reading.reading_id)
    receipt = intake.take(home.envelope(forged, first_seq=2), topic_gateway=home.gateway_id)
    assert receipt is not None
    assert receipt.rejected[0].reason == "id_collision"
    assert ask(pool, "select systolic_mmhg from reading") == [(152,)]
    with transaction(pool) as conn:
        ((_, _, kept),) = quarantined(conn)
    assert kept == encode_reading(forged)
    next_good_one_is_stored(intake, home, pool)


def test_13_two_contents_of_one_id_in_one_batch_keep_both(intake: Intake, home: Household, pool: Pool) -> None:
    at = earlier()
    reading = home.pressure(at)
    forged = home.pressure(at, 120, 80, reading_id=reading.reading_id)
    intake.take(home.envelope(reading, forged), topic_gateway=home.gateway_id)
    assert ask(pool, "select systolic_mmhg from reading") == [(152,)]
    assert reasons(pool) == ["id_collision"]


# 14, 15: who speaks


def test_14_a_gateway_that_speaks_for_another_is_quarantined_and_then_suspended(
    intake: Intake, home: Household, pool: Pool
) -> None:
    with pool.connection() as conn:
        victim = enrol(conn, enrolled_on=home.since.date())
    for seq in (1, 2, 3):
        receipt = intake.take(
            victim.envelope(victim.pressure(earlier(seq)), first_seq=seq), topic_gateway=home.gateway_id
        )
        assert receipt is not None
        assert receipt.rejected[0].reason == "wrong_gateway"
    assert ask(pool, "select count(*) from reading") == [(0,)]
    assert ask(pool, "select gateway_id from gateway where state = 'suspended'") == [(home.gateway_id,)]
    assert intake.take(home.envelope(home.pressure(earlier())), topic_gateway=home.gateway_id) is None
    next_good_one_is_stored(intake, victim, pool)


def test_14_a_reading_in_anothers_name_costs_its_neighbours_nothing(
    intake: Intake, home: Household, pool: Pool
) -> None:
    good, bad = home.pressure(earlier()), home.pressure(earlier(1), gateway_id="gw-other")
    receipt = intake.take(home.envelope(good, bad), topic_gateway=home.gateway_id)
    assert receipt is not None
    assert [(each.seq, each.reason) for each in receipt.rejected] == [(2, "wrong_gateway")]
    assert ask(pool, "select reading_id from reading") == [(good.reading_id,)]


@pytest.mark.parametrize("state", ["revoked", "suspended"])
def test_15_a_gateway_that_is_shut_out_gets_no_receipt(intake: Intake, home: Household, pool: Pool, state: str) -> None:
    with pool.connection() as conn:
        conn.execute("update gateway set state = %s", (state,))
    envelope = home.envelope(home.pressure(earlier()), home.pressure(earlier(1)))
    assert intake.take(envelope, topic_gateway=home.gateway_id) is None
    assert intake.take(envelope, topic_gateway=home.gateway_id) is None
    assert reasons(pool) == ["revoked", "revoked"], "sent again, it is counted, not kept again"
    with pool.connection() as conn:
        conn.execute("update gateway set state = 'active'")
    assert intake.take(envelope, topic_gateway=home.gateway_id) == Receipt(epoch=EPOCH, upto=2)


def test_a_gateway_that_nobody_enrolled_gets_no_receipt(intake: Intake, home: Household, pool: Pool) -> None:
    stranger = msgspec.structs.replace(home.pressure(earlier()), gateway_id="gw-stranger")
    envelope = home.envelope(stranger).replace(home.gateway_id.encode(), b"gw-stranger")
    assert intake.take(envelope, topic_gateway="gw-stranger") is None
    assert reasons(pool) == ["unknown_gateway"]
    next_good_one_is_stored(intake, home, pool)


# 16: what is no envelope


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "decode:json"),
        (b"\xef\xbb\xbf{}", "decode:json"),
        (b"\xff\xfe{}", "decode:utf8"),
        (b"[" * 5000, "decode:json"),
        (b'{"a":' * 4000 + b"1" + b"}" * 4000, "decode:json"),
        (b'{"v":' + b"1" * 5000 + b"}", "decode:json"),
        (b'{"v":NaN}', "decode:json"),
        (b"null", "decode:schema"),
        (b"{}", "decode:schema"),
        (b'{"v":1,"v":1}', "decode:duplicate_key"),
        (b'{"v":1} trailing', "decode:json"),
        (b" " * (MAX_BYTES_TAKEN + 1), "decode:size"),
        (b"x" * 200_000, "decode:size"),
    ],
)
def test_16_what_is_no_envelope_is_quarantined_with_its_first_bytes(
    intake: Intake, home: Household, pool: Pool, payload: bytes, reason: str
) -> None:
    assert intake.take(payload, topic_gateway=home.gateway_id) is None
    with transaction(pool) as conn:
        ((kept_reason, _, raw),) = quarantined(conn)
    assert (kept_reason, raw) == (reason, payload[:4096])
    assert ask(pool, "select received, quarantined from gateway_account") == [(1, 1)]
    next_good_one_is_stored(intake, home, pool)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"seq":2,"reading":{"reading_id":NaN}}', "decode:json"),
        (b'{"seq":2,"reading":{"reading_id":1e999}}', "decode:schema"),
        (b'{"seq":2,"reading":{"a":1,"a":2}}', "decode:duplicate_key"),
        (b'{"seq":2,"reading":{"reading_id":"\xc3\x28"}}', "decode:utf8"),
        (b'{"seq":2,"reading":{"reading_id":' + b"9" * 5000 + b"}}", "decode:json"),
        (b'{"seq":2,"reading":{}}', "decode:schema"),
        (b'{"seq":2,"reading":null}', "decode:schema"),
        (b'{"seq":2,"reading":{},"extra":1}', "decode:schema"),
    ],
)
def test_18_one_bad_row_costs_the_others_nothing(
    intake: Intake, home: Household, pool: Pool, bad: bytes, reason: str
) -> None:
    first, third = home.pressure(earlier()), home.pressure(earlier(1))
    receipt = intake.take(with_rows(home, row(1, first), bad, row(3, third)), topic_gateway=home.gateway_id)
    assert receipt is not None
    assert receipt.upto == 3
    assert [(each.seq, each.reason) for each in receipt.rejected] == [(2, reason)]
    stored = {found[0] for found in ask(pool, "select reading_id from reading")}
    assert stored == {first.reading_id, third.reading_id}
    assert reasons(pool) == [reason]
    next_good_one_is_stored(intake, home, pool)


@pytest.mark.parametrize("bad", [b"17", b'{"seq":0,"reading":{}}', b'{"seq":"2","reading":{}}', b'{"reading":{}}'])
def test_18_a_row_without_a_number_is_quarantined_and_cannot_be_answered(
    intake: Intake, home: Household, pool: Pool, bad: bytes
) -> None:
    receipt = intake.take(with_rows(home, row(1, home.pressure(earlier())), bad), topic_gateway=home.gateway_id)
    assert receipt == Receipt(epoch=EPOCH, upto=1)
    assert ask(pool, "select reason, seq from quarantine") == [("decode:schema", None)]


def test_18_a_row_that_postgresql_cannot_take_is_singled_out(intake: Intake, home: Household, pool: Pool) -> None:
    ask_nothing(pool, "alter table reading add check (systolic_mmhg <> 153)")  # as what only the database refuses
    good = [home.pressure(earlier(minutes)) for minutes in range(3)]
    bad = home.pressure(earlier(9), 153)
    envelope = home.envelope(good[0], bad, good[1], bad, good[2])
    receipt = intake.take(envelope, topic_gateway=home.gateway_id)
    assert receipt is not None
    assert [(each.seq, each.reason) for each in receipt.rejected] == [(2, "poison"), (4, "poison")]
    assert ask(pool, "select count(*) from reading") == [(3,)]
    assert ask(pool, "select count(*) from reading_seen") == [(3,)], "a poisonous row does not count as seen"
    assert intake.take(envelope, topic_gateway=home.gateway_id) == receipt
    ask_nothing(pool, "alter table reading drop constraint reading_systolic_mmhg_check")
    assert intake.take(envelope, topic_gateway=home.gateway_id) == Receipt(epoch=EPOCH, upto=5)
    next_good_one_is_stored(intake, home, pool)


def test_18_a_batch_of_ten_thousand_is_quarantined_as_one(intake: Intake, home: Household, pool: Pool) -> None:
    rows = [b'{"seq":%d,"reading":{}}' % seq for seq in range(1, 10_001)]
    assert intake.take(with_rows(home, *rows), topic_gateway=home.gateway_id) is None
    assert reasons(pool) == ["decode:size"]
    next_good_one_is_stored(intake, home, pool)


def test_18_more_rows_than_an_envelope_holds_are_refused_by_number(intake: Intake, home: Household, pool: Pool) -> None:
    rows = [b'{"seq":%d,"reading":{}}' % seq for seq in range(1, 102)]
    receipt = intake.take(with_rows(home, *rows), topic_gateway=home.gateway_id)
    assert receipt is not None
    assert len(receipt.rejected) == 100
    assert reasons(pool) == ["decode:schema"]


# 17: versions


def test_17_a_newer_envelope_is_kept_whole_for_after_the_upgrade(intake: Intake, home: Household, pool: Pool) -> None:
    readings = [home.pressure(earlier(minutes)) for minutes in range(12)]
    payload = home.envelope(*readings).replace(b'"v":1', b'"v":2', 1)
    receipt = intake.take(payload, topic_gateway=home.gateway_id)
    assert receipt is not None
    assert [(each.seq, each.reason) for each in receipt.rejected] == [(seq, "schema_newer") for seq in range(1, 13)]
    with transaction(pool) as conn:
        ((_, _, raw),) = quarantined(conn)
    assert raw == payload
    assert len(payload) > 4096
    next_good_one_is_stored(intake, home, pool)


def test_17_an_older_envelope_is_quarantined(intake: Intake, home: Household, pool: Pool) -> None:
    payload = home.envelope(home.pressure(earlier())).replace(b'"v":1', b'"v":0', 1)
    intake.take(payload, topic_gateway=home.gateway_id)
    assert reasons(pool) == ["schema_older"]


# many at once


def test_many_writers_of_the_same_readings_store_each_once(intake: Intake, home: Household, pool: Pool) -> None:
    readings = [home.pressure(earlier(minutes)) for minutes in range(40)]
    failures: list[BaseException] = []

    def send(backwards: bool) -> None:
        try:
            for start in range(0, 40, 10):
                part = readings[start : start + 10]
                intake.take(
                    home.envelope(*(reversed(part) if backwards else part), first_seq=start + 1),
                    topic_gateway=home.gateway_id,
                )
        except BaseException as e:
            failures.append(e)
            raise

    writers = [threading.Thread(target=send, args=(number % 2 == 0,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert ask(pool, "select count(*), count(distinct reading_id) from reading") == [(40, 40)]
    assert ask(pool, "select received, stored, repeated from gateway_account") == [(160, 40, 120)]


def test_an_account_that_does_not_balance_is_found(intake: Intake, home: Household, pool: Pool) -> None:
    from server.store.intake import check_accounts

    intake.take(home.envelope(home.pressure(earlier())), topic_gateway=home.gateway_id)
    with pool.connection() as conn:
        conn.execute("delete from reading")
        (account,) = check_accounts(conn)
        assert (account.gateway_id, account.stored, account.rows_stored) == (home.gateway_id, 1, 0)
        conn.rollback()


def asking(**said: object) -> bytes:
    return json.dumps({"state": "online", "asks": {"epoch": EPOCH, "question": "boot-1 12.5"}} | said).encode()


def test_a_gateway_that_asks_for_the_time_is_told_that_of_the_database_and_nothing_else(
    intake: Intake, home: Household, pool: Pool
) -> None:
    ((before,),) = ask(pool, "select clock_timestamp()")
    receipt = intake.note_status(asking(), topic_gateway=home.gateway_id, is_old=False)
    ((after,),) = ask(pool, "select clock_timestamp()")
    assert receipt is not None
    assert receipt.at is not None
    assert before <= receipt.at <= after
    assert receipt == Receipt(epoch=EPOCH, upto=0, asked="boot-1 12.5", at=receipt.at)


@pytest.mark.parametrize(
    ("payload", "is_old"),
    [
        pytest.param(asking(), True, id="the broker had it from before: nobody knows when it was asked"),
        pytest.param(asking(state="offline"), False, id="a last will"),
        pytest.param(b'{"state":"online"}', False, id="0.1.0, which takes no unknown word"),
        pytest.param(asking(asks={"epoch": "../", "question": "x"}), False, id="no epoch"),
        pytest.param(asking(asks={"epoch": EPOCH, "question": "x" * 97}), False, id="too long"),
        pytest.param(asking(asks={"epoch": EPOCH, "question": 7}), False, id="no question"),
    ],
)
def test_nobody_is_told_the_time_who_does_not_ask_now(
    intake: Intake, home: Household, payload: bytes, is_old: bool
) -> None:
    assert intake.note_status(payload, topic_gateway=home.gateway_id, is_old=is_old) is None


def test_a_gateway_that_is_shut_out_or_unknown_is_not_told_the_time(
    intake: Intake, home: Household, pool: Pool
) -> None:
    assert intake.note_status(asking(), topic_gateway="gw-unknown", is_old=False) is None
    with pool.connection() as conn:
        conn.execute("update gateway set state = 'suspended'")
    assert intake.note_status(asking(), topic_gateway=home.gateway_id, is_old=False) is None


def test_a_status_is_kept_and_a_last_will_is_no_sign_of_life(intake: Intake, home: Household, pool: Pool) -> None:
    intake.note_status(b'{"state":"offline"}', topic_gateway=home.gateway_id, is_old=False)
    assert ask(pool, "select last_status, last_heard_at from gateway") == [({"state": "offline"}, None)]
    for payload in (b"nonsense", b"[]", b'{"a":"\\u0000"}', b'{"a":"' + b"x" * 17_000 + b'"}', b"\xff"):
        intake.note_status(payload, topic_gateway=home.gateway_id, is_old=False)
    intake.note_status(b'{"state":"online"}', topic_gateway=home.gateway_id, is_old=True)
    assert ask(pool, "select last_status, last_heard_at from gateway") == [({"state": "online"}, None)]
    intake.note_status(b'{"state":"online"}', topic_gateway=home.gateway_id, is_old=False)
    assert ask(pool, "select last_heard_at is not null from gateway") == [(True,)]
