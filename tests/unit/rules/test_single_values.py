"""Rules about one value of any signal: what meets, what is on the good side, what a sitting is, and what makes it urgent."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server.rules.engine import judge
from server.rules.episodes import Finding
from server.rules.own_numbers import thresholds_in_force
from server.rules.rule import RuleFile, RuleSet, SingleValueRule
from server.rules.windows import PatientHistory, PersonalThreshold, Row, Symptom, ZoneSpan, row_of, window_of
from vitals.errors import MalformedError
from vitals.quality import grade
from vitals.reading import BloodPressure, Glucose, Measurement, OxygenSaturation, SensorGlucose, Temperature

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
CONFIRM = {"within_minutes": 5, "priority": "high"}


def rules(*conditions: dict[str, Any], when: dict[str, Any] | None = None, **resolve: Any) -> RuleSet:
    """One rule called `it`, of medium priority."""
    rule = {
        "id": "it",
        "version": 1,
        "title": {"en": "It", "zh": "它"},
        "source": "nowhere",
        "when": {
            "kind": "single_value",
            "any_of": list(conditions),
            "readings": ["accepted", "suspect"],
            "arrived": "in_time",
        }
        | (when or {}),
        "resolve": {"by": "reading_below", "visible_hours": 24} | resolve,
        "priority": "medium",
        "tell": ["doctor"],
    }
    return RuleSet(RuleFile.model_validate({"rules": [rule]}).rules)


LOW = {"signal": "glucose", "below": 3.0, "unit": "mmol/L"}
HIGH = {"signal": "glucose", "above": 16.7, "unit": "mmol/L"}
SLOW, FAST = ({"signal": "pulse", word: value, "unit": "bpm"} for word, value in (("at_most", 40), ("at_least", 131)))
CRITICAL = (
    {"signal": "systolic", "at_least": 180, "unit": "mmHg"},
    {"signal": "diastolic", "at_least": 120, "unit": "mmHg"},
)


class Bedside:
    """Readings one after another, each measured so long after START and received at once unless said."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.symptoms: list[Symptom] = []

    def take(self, after: timedelta, measured: Measurement, **stored: Any) -> "Bedside":
        at = START + after
        facts: dict[str, Any] = {
            "reading_id": UUID(int=len(self.rows) + 1),
            "measured_at": at,
            "received_at": at,
            "quality": grade(measured)[0].value,
            "time_quality": "trusted",
        }
        self.rows.append(row_of(measured, **facts | stored))
        return self

    def says(self, after: timedelta, *, has_symptoms: bool) -> "Bedside":
        self.symptoms.append(Symptom(at=START + after, has_symptoms=has_symptoms))
        return self

    def history(self, **changes: Any) -> PatientHistory:
        facts: dict[str, Any] = {
            "patient_id": 1,
            "enrolled_on": date(2026, 1, 1),
            "zones": (ZoneSpan(valid_from=datetime(2026, 1, 1, tzinfo=UTC), zone="UTC"),),
            "window": window_of(self.rows),
            "symptoms": tuple(self.symptoms),
        }
        return PatientHistory(**facts | changes)

    def judged(self, by: RuleSet, after: timedelta) -> Sequence[Finding]:
        return judge(self.history(), by, now=START + after).findings


def sugar(mmol_l: float | None, **more: Any) -> Glucose:
    return Glucose(sequence=1, glucose_mmol_l=mmol_l, glucose_mg_dl=None if mmol_l is None else mmol_l * 18, **more)


def pressure(systolic: float = 120, diastolic: float = 80, pulse: float | None = None) -> BloodPressure:
    return BloodPressure(systolic_mmhg=systolic, diastolic_mmhg=diastolic, pulse_bpm=pulse, unit_sent="mmHg")


def oxygen(spo2: float = 97, pulse: float | None = None) -> OxygenSaturation:
    return OxygenSaturation(spo2_percent=spo2, pulse_bpm=pulse)


def test_a_low_glucose_is_found_and_said_with_its_unit() -> None:
    (found,) = Bedside().take(MINUTE, sugar(2.96)).judged(rules(LOW), HOUR)
    assert found.verdict.sentence == {
        "en": "Glucose 2.96 mmol/L, below 3 (unconfirmed)",
        "zh": "血糖 2.96 mmol/L，低于 3（未确认）",
    }
    assert found.verdict.numbers["readings"] == [
        {
            "reading_id": str(UUID(int=1)),
            "measured_at": (START + MINUTE).isoformat(),
            "value": 2.96,
            "unit": "mmol/L",
            "censored": None,
            "quality": "accepted",
        }
    ]
    assert found.verdict.numbers["thresholds"] == [
        {"signal": "glucose", "comparison": "below", "value": 3.0, "unit": "mmol/L"}
    ]
    assert "raised_at" not in found.verdict.numbers, "nothing raises it"


def test_a_glucose_is_compared_in_the_unit_of_the_rule() -> None:
    bed = Bedside().take(MINUTE, Glucose(sequence=1, glucose_mmol_l=3.05, glucose_mg_dl=54))
    at_most_54 = {"signal": "glucose", "at_most": 54, "unit": "mg/dL"}
    assert len(bed.judged(rules(at_most_54), HOUR)) == 1
    assert bed.judged(rules(LOW), HOUR) == ()


@pytest.mark.parametrize(
    ("shown", "by", "is_met"), [("LO", LOW, True), ("HI", LOW, False), ("HI", HIGH, True), ("LO", HIGH, False)]
)
def test_hi_is_above_every_limit_and_lo_below_every_limit(shown: Any, by: dict[str, Any], is_met: bool) -> None:
    found = Bedside().take(MINUTE, sugar(None, censored=shown)).judged(rules(by), HOUR)
    assert len(found) == is_met
    assert all(f"Glucose {shown}, " in each.verdict.sentence["en"] for each in found)


def test_hi_ends_a_low_and_lo_ends_a_high() -> None:
    for first, then, by, note in ((2.5, "HI", LOW, "above"), (20.0, "LO", HIGH, "below")):
        bed = Bedside().take(MINUTE, sugar(first)).take(HOUR, sugar(None, censored=then))
        (found,) = bed.judged(rules(by), 2 * HOUR)
        assert (found.priority, found.verdict.numbers["below_at"]) == ("low", (START + HOUR).isoformat())
        assert found.verdict.sentence["en"].endswith(f"(a later reading was {note})")


def test_a_sensor_is_not_a_finger_stick() -> None:
    worn = SensorGlucose(sequence=1, glucose_mmol_l=2.5, glucose_mg_dl=45)
    assert Bedside().take(MINUTE, worn).judged(rules(LOW), HOUR) == ()


def test_a_pulse_comes_from_cuff_and_oximeter_and_they_are_one_sitting() -> None:
    bed = (
        Bedside()
        .take(MINUTE, pressure(pulse=135))
        .take(9 * MINUTE, oxygen(pulse=140))
        .take(30 * MINUTE, oxygen(pulse=150))
    )
    first, second = bed.judged(rules(FAST), HOUR)
    assert first.verdict.numbers["reading_ids"] == [str(UUID(int=number)) for number in (1, 2)]
    assert (first.state, first.resolved_at) == ("resolved", START + 30 * MINUTE)
    assert second.started_at == START + 30 * MINUTE


def test_a_reading_without_a_pulse_is_no_reading_of_a_pulse_rule() -> None:
    bed = Bedside().take(MINUTE, pressure(pulse=135)).take(10 * MINUTE, pressure()).take(19 * MINUTE, oxygen(pulse=140))
    first, second = bed.judged(rules(FAST), HOUR)
    assert (first.priority, second.priority) == ("medium", "medium"), "nor is it on the good side"
    assert second.started_at == START + 19 * MINUTE, "nor does it hold a sitting together"


def test_a_failed_reading_of_the_kind_holds_a_sitting_together() -> None:
    bed = Bedside().take(MINUTE, sugar(2.5)).take(9 * MINUTE, sugar(None)).take(18 * MINUTE, sugar(2.4))
    (found,) = bed.judged(rules(LOW), HOUR)
    assert len(found.verdict.numbers["readings"]) == 2
    assert "Glucose 2.4 mmol/L" in found.verdict.sentence["en"], "the lowest is shown"


def test_of_a_rule_with_two_sides_a_reading_between_is_good() -> None:
    bed = Bedside().take(MINUTE, oxygen(pulse=38)).take(HOUR, oxygen(pulse=70))
    (found,) = bed.judged(rules(SLOW, FAST), 2 * HOUR)
    assert found.verdict.sentence == {
        "en": "Pulse 38 bpm, at or below 40 or at or above 131 (a later reading was within the limits)",
        "zh": "脉搏 38 次/分，不高于 40 或达到或超过 131（其后一次读数已在范围内）",
    }


def test_a_temperature_of_doubtful_time_is_suspect_and_no_good_value() -> None:
    fever = {"signal": "temperature", "at_least": 39.1, "unit": "°C"}
    bed = Bedside().take(MINUTE, Temperature(temperature_celsius=39.4, unit_sent="°C"), time_quality="suspect")
    bed.take(2 * HOUR, Temperature(temperature_celsius=36.8, unit_sent="°C"), time_quality="suspect")
    (found,) = bed.judged(rules(fever), 3 * HOUR)
    assert found.verdict.numbers["readings"][0]["quality"] == "suspect"
    assert found.verdict.numbers["below_at"] is None
    assert bed.judged(rules(fever, when={"readings": ["accepted"]}), 3 * HOUR) == ()


def test_a_record_from_before_a_clock_change_is_used_by_no_rule() -> None:
    assert Bedside().take(MINUTE, sugar(2.5), time_quality="orphan").judged(rules(LOW), HOUR) == ()


def test_an_unreliable_value_is_asked_for_again_in_words_of_its_meter() -> None:
    prompt = rules(LOW, when={"readings": ["rejected"]}, by="new_reading", visible_hours=0)
    (found,) = Bedside().take(MINUTE, sugar(2.5, status=1 << 1)).judged(prompt, HOUR)
    assert found.verdict.sentence["en"].endswith("(the meter calls it unreliable: measure again)")


def test_a_patient_may_have_limits_of_their_own_in_the_unit_of_the_rule() -> None:
    own = {"it": PersonalThreshold(version=2, parameters={"glucose": 4})}
    bed = Bedside().take(MINUTE, sugar(3.5))
    (found,) = judge(bed.history(thresholds=own), rules(LOW), now=START + HOUR).findings
    assert (found.threshold_version, found.verdict.numbers["thresholds"][0]["value"]) == (2, 4.0)


def test_a_limit_of_ones_own_is_bounded_by_what_the_signal_can_be() -> None:
    (low,) = rules(LOW).rules
    assert isinstance(low, SingleValueRule)
    assert thresholds_in_force(low, {"glucose": 4.5}) == (4.5,)
    with pytest.raises(MalformedError, match="from 0 to 1000 mmol/L"):
        thresholds_in_force(low, {"glucose": -1})


# -- confirmation ------------------------------------------------------------------------------------------------------


def raised(bed: Bedside, after: timedelta) -> tuple[str, timedelta | None]:
    """Priority, and when it was raised, counted from START."""
    *_, newest = bed.judged(rules(*CRITICAL, when={"confirm": CONFIRM}), after)
    assert newest.verdict.numbers["raised_at"] == (None if newest.raised_at is None else newest.raised_at.isoformat())
    return newest.priority, None if newest.raised_at is None else newest.raised_at - START


def test_the_time_to_repeat_ends_to_the_microsecond() -> None:
    microsecond = timedelta(microseconds=1)
    bed = Bedside().take(timedelta(0), pressure(190, 100), received_at=START + SECOND + microsecond)
    deadline = SECOND + microsecond + 5 * MINUTE
    assert raised(bed, deadline - microsecond) == ("medium", None)
    assert raised(bed, deadline) == ("high", deadline)


def test_the_judge_is_woken_when_the_time_to_repeat_is_over_and_not_after_it() -> None:
    bed = Bedside().take(timedelta(0), pressure(190, 100))
    by = rules(*CRITICAL, when={"confirm": CONFIRM})
    assert judge(bed.history(), by, now=START + MINUTE).next_due_at == START + 5 * MINUTE
    assert judge(bed.history(), by, now=START + 5 * MINUTE).next_due_at == datetime(2026, 3, 3, 3, tzinfo=UTC)
    bed.take(2 * MINUTE, pressure(120, 80))
    assert judge(bed.history(), by, now=START + 3 * MINUTE).next_due_at == datetime(2026, 3, 3, 3, tzinfo=UTC)


@pytest.mark.parametrize(("gap_s", "is_confirmed"), [(44.999999, False), (45, True)])
def test_a_repeat_confirms_from_45_seconds_on(gap_s: float, is_confirmed: bool) -> None:
    repeat = timedelta(seconds=gap_s)
    bed = Bedside().take(timedelta(0), pressure(190, 100)).take(repeat, pressure(188, 99))
    assert raised(bed, MINUTE) == (("high", repeat) if is_confirmed else ("medium", None))


def test_a_repeat_confirms_from_when_the_house_knew_of_both() -> None:
    bed = (
        Bedside().take(timedelta(0), pressure(190, 100), received_at=START + 3 * MINUTE).take(MINUTE, pressure(188, 99))
    )
    assert raised(bed, 10 * MINUTE) == ("high", 3 * MINUTE)


def test_an_alert_that_time_has_ended_is_not_raised_afterwards() -> None:
    by = rules(*CRITICAL, when={"confirm": CONFIRM}, at_most_hours=1)
    bed = Bedside().take(timedelta(0), pressure(190, 100), received_at=START + 57 * MINUTE)
    (found,) = bed.judged(by, 2 * HOUR)
    assert (found.state, found.priority, found.raised_at) == ("resolved", "medium", None)


@pytest.mark.parametrize(
    ("after", "is_raised"), [(-SECOND, False), (timedelta(0), True), (24 * HOUR, True), (24 * HOUR + SECOND, False)]
)
def test_a_yes_to_the_symptoms_counts_from_the_first_reading_to_a_day_after_the_newest(
    after: timedelta, is_raised: bool
) -> None:
    by = rules(*CRITICAL, when={"confirm": CONFIRM | {"within_minutes": 1440}})
    bed = Bedside().take(timedelta(0), pressure(190, 100), received_at=START + 2 * HOUR).says(after, has_symptoms=True)
    (found,) = bed.judged(by, 25 * HOUR)
    assert found.raised_at == (START + max(after, 2 * HOUR) if is_raised else None)
    assert ("with symptoms" in found.verdict.sentence["en"]) == is_raised


def test_symptoms_are_nothing_to_a_rule_that_confirms_nothing() -> None:
    (found,) = Bedside().take(timedelta(0), sugar(2.5)).says(MINUTE, has_symptoms=True).judged(rules(LOW), HOUR)
    assert (found.priority, found.raised_at) == ("medium", None)


def test_a_glucose_may_be_confirmed_too() -> None:
    bed = Bedside().take(timedelta(0), sugar(None, censored="LO")).take(MINUTE, sugar(2.5))
    (found,) = bed.judged(rules(LOW, when={"confirm": CONFIRM | {"within_minutes": 15}}), 2 * MINUTE)
    assert (found.priority, found.raised_at) == ("high", START + MINUTE)
    assert found.verdict.sentence["zh"] == "血糖 LO，低于 3（复测已证实）"


def test_one_minute_is_one_minute() -> None:
    by = rules(*CRITICAL, when={"confirm": CONFIRM | {"within_minutes": 1}})
    (found,) = Bedside().take(timedelta(0), pressure(190, 100)).judged(by, HOUR)
    assert "(not repeated within 1 minute)" in found.verdict.sentence["en"]


# -- what may be written -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "when", "resolve", "says"),
    [
        ([{"signal": "weight", "above": 90, "unit": "kg"}], {}, {}, "a worn sensor has episodes, a weight has changes"),
        ([{"signal": "sensor_glucose", "below": 54, "unit": "mg/dL"}], {}, {}, "a worn sensor has episodes"),
        ([{"signal": "spo2", "below": 90, "unit": "mmHg"}], {}, {}, "spo2 is in %"),
        ([SLOW, LOW], {}, {}, "write another rule"),
        ([LOW, {"signal": "glucose", "above": 300, "unit": "mg/dL"}], {}, {}, "in one unit"),
        ([LOW], {"confirm": CONFIRM, "arrived": "late"}, {}, "leave confirm out"),
        ([LOW], {"confirm": CONFIRM}, {"by": "new_reading"}, "needs resolve: {by: reading_below}"),
        ([LOW], {"confirm": CONFIRM | {"priority": "medium"}}, {}, "above the rule's, which is medium"),
        ([LOW], {"confirm": CONFIRM | {"within_minutes": 0}}, {}, "greater than or equal to 1"),
    ],
)
def test_what_a_rule_about_one_value_may_not_say(
    conditions: list[dict[str, Any]], when: dict[str, Any], resolve: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        rules(*conditions, when=when, **resolve)


def test_a_sitting_that_began_on_an_unjudged_day_is_not_cut_in_two() -> None:
    night = Bedside()
    for minute in (-2, 3):  # a day begins at 03:00
        night.take(15 * HOUR + minute * MINUTE, pressure(190))
    (found,) = night.judged(rules(*CRITICAL), 16 * HOUR)
    assert found.started_at == START + 15 * HOUR - 2 * MINUTE
    cut = night.history(judged_from=START)
    assert judge(cut, rules(*CRITICAL), now=START + 16 * HOUR).findings == ()
