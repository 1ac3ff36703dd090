"""Back-tests: the same alerts as judging finds, what they would have cost, and whose numbers do not fit."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import glucose_histories, histories, trend_histories, value_histories

from server.rules import backtest
from server.rules.backtest import Alert, Disagreement, Replayed, Span, burdens, disagreements, replay
from server.rules.clinical_days import Calendar
from server.rules.engine import judge, look_back_days, reach_days
from server.rules.episodes import Finding
from server.rules.load import load_catalog
from server.rules.own_numbers import check_parameters, numbers_of
from server.rules.rule import KINDS, RuleFile, RuleSet, UnnumberedRule
from server.rules.windows import PatientHistory, PersonalThreshold, Symptom, ZoneSpan, from_us, row_of, window_of
from vitals.errors import MalformedError
from vitals.reading import BloodPressure

CATALOG = load_catalog().only(tuple(rule.id for rule in load_catalog().rules if rule.watch == "everyone"))
THREE_DAYS = CATALOG.only(("bp-above-140-90-3-days",))
RULE = "bp-above-140-90-3-days"
FIRST = datetime(2026, 1, 1, 7, 30, tzinfo=UTC)
SPAN = Span(since=datetime(2026, 3, 1, tzinfo=UTC), until=datetime(2026, 5, 30, tzinfo=UTC))
"""Ninety days."""


def patient(systolics: dict[int, float], *, patient_id: int = 1, **changes: Any) -> PatientHistory:
    """Somebody in UTC who measured these, by days after the first of January at 07:30."""
    rows = []
    for day, systolic in systolics.items():
        at = FIRST + timedelta(days=day)
        measured = BloodPressure(systolic_mmhg=systolic, diastolic_mmhg=80.0, unit_sent="mmHg")
        facts = {"measured_at": at, "received_at": at}
        rows.append(row_of(measured, reading_id=UUID(int=day), quality="accepted", time_quality="trusted", **facts))
    facts = {
        "patient_id": patient_id,
        "enrolled_on": date(2025, 1, 1),
        "zones": (ZoneSpan(valid_from=datetime(2020, 1, 1, tzinfo=UTC), zone="UTC"),),
        "window": window_of(rows),
    }
    return PatientHistory(**facts | changes)


def replayed(history: PatientHistory, rules: Any = THREE_DAYS, span: Span = SPAN, **more: bool) -> Replayed:
    return replay(history, rules, span, **{"as_written": False, "with_wishes": False} | more)


MARCH, APRIL = 59, 90
"""Days after the first of January."""


def test_an_alert_of_the_span_is_found_with_its_days() -> None:
    found = replayed(patient(dict.fromkeys(range(MARCH + 3, MARCH + 6), 150.0) | {MARCH + 6: 120.0}))
    (alert,) = found.alerts
    assert (alert.rule_id, alert.first_day, alert.last_day) == (RULE, date(2026, 3, 4), date(2026, 3, 6))
    assert alert.opened_at == datetime(2026, 3, 7, 3, tzinfo=UTC)
    assert alert.told_on == date(2026, 3, 7)
    assert alert.is_for_doctor
    assert found.readings == 4


def test_what_was_open_before_the_span_is_not_new_and_counts_as_time_under_alert() -> None:
    found = replayed(patient(dict.fromkeys(range(10, MARCH + 5), 150.0)))
    assert found.alerts == ()
    assert found.days_under_alert == {RULE: 90}


def test_what_opens_at_the_end_of_the_span_is_not_in_it() -> None:
    high = patient(dict.fromkeys(range(MARCH + 1, MARCH + 4), 150.0))
    opens = replayed(high).alerts[0].opened_at
    assert replayed(high, span=Span(since=opens - timedelta(days=30), until=opens)).alerts == ()
    assert len(replayed(high, span=Span(since=opens, until=opens + timedelta(days=1))).alerts) == 1


def test_a_rule_that_was_not_chosen_is_looked_at_and_own_numbers_hold_unless_not_wanted() -> None:
    own = PersonalThreshold(version=2, parameters={"systolic": 155}, is_watched=False)
    high = patient(dict.fromkeys(range(MARCH, MARCH + 9), 150.0), thresholds={RULE: own})
    assert judge(high, THREE_DAYS, now=SPAN.until).findings == ()
    assert replayed(high).alerts == ()
    assert len(replayed(high, as_written=True).alerts) == 1


def test_who_is_alerted_often_wants_the_least_step_that_helps() -> None:
    (wish,) = replayed(patient(dict.fromkeys(range(40, 150), 147.0)), with_wishes=True).wishes
    assert (wish.patient_id, wish.rule_id, wish.alerts, wish.days) == (1, RULE, 0, 90)
    assert wish.parameters == {"systolic": 150, "diastolic": 100}
    assert (wish.alerts_then, wish.days_then) == (0, 0)


def test_where_no_step_helps_none_is_named() -> None:
    (wish,) = replayed(patient(dict.fromkeys(range(40, 150), 175.0)), with_wishes=True).wishes
    assert wish.parameters == {}
    assert wish.days_then == wish.days == 90


def test_a_step_starts_from_the_patients_own_numbers() -> None:
    own = PersonalThreshold(version=2, parameters={"systolic": 150})
    history = patient(dict.fromkeys(range(40, 150), 152.0), thresholds={RULE: own})
    (wish,) = replayed(history, with_wishes=True).wishes
    assert wish.parameters == {"systolic": 155, "diastolic": 95}


def test_own_numbers_that_do_not_fit_other_rules_are_not_used() -> None:
    own = PersonalThreshold(version=2, parameters={"weight": 80})
    found = replayed(patient(dict.fromkeys(range(MARCH, MARCH + 9), 150.0), thresholds={RULE: own}))
    assert len(found.alerts) == 1
    assert found.misfits == (RULE,)


def test_the_burden_is_counted_by_rule_and_together() -> None:
    quiet = patient({MARCH: 120.0}, patient_id=1)
    once = patient(dict.fromkeys(range(MARCH + 3, MARCH + 6), 150.0), patient_id=2)
    twice = patient(dict.fromkeys([*range(MARCH + 3, MARCH + 6), APRIL], 150.0) | {APRIL + 1: 185.0}, patient_id=3)
    people = [replayed(each, CATALOG) for each in (quiet, once, twice)]
    together, three_days, critical, *_ = burdens(people, CATALOG, SPAN)
    assert (together.rule_id, together.alerts, together.patients_ever) == ("", 3, 2)
    assert (three_days.rule_id, three_days.alerts, three_days.patients_ever) == (RULE, 2, 2)
    assert (three_days.busiest_on, three_days.busiest_alerts) == (date(2026, 3, 7), 2)
    assert three_days.per_100_patients_per_day == pytest.approx(100 * 2 / 3 / 90)
    assert (critical.rule_id, critical.alerts) == ("bp-critical", 1)
    minutes = {"information": 0.0, "low": 4.0, "medium": 7.0, "high": 9.0}
    assert [each.staff_minutes for each in burdens(people, CATALOG, SPAN, minutes)[:3]] == [17, 8, 9]


def test_where_nothing_is_raised_there_is_no_busiest_day() -> None:
    (together, _) = burdens([replayed(patient({MARCH: 120.0}))], THREE_DAYS, SPAN)
    assert (together.alerts, together.busiest_on, together.busiest_alerts, together.staff_minutes) == (0, None, 0, 0)


def test_those_who_differ_most_come_first() -> None:
    def of(patient_id: int, alerts: int) -> Replayed:
        found = replayed(patient(dict.fromkeys(range(MARCH + 3, MARCH + 6), 150.0), patient_id=patient_id))
        return replace(found, alerts=found.alerts * alerts)

    assert disagreements([of(1, 1), of(2, 0), of(3, 2)], [of(1, 1), of(2, 3), of(3, 1)]) == [
        Disagreement(patient_id=2, alerts=0, alerts_other=3),
        Disagreement(patient_id=3, alerts=2, alerts_other=1),
    ]


MEASURED = set(KINDS) - {"silence", "schedule"}
"""The kinds of rules that somebody's readings answer."""


def any_rules(random: Random) -> tuple[RuleSet, tuple[str, ...]]:
    """The whole catalog and a rule of each made-up kind, and the signals that somebody must measure for them."""
    trend = trend_histories.some_rule(random, random.choice(("rolling", "count_of_last", "change")))
    texts = (value_histories.some_rule(random).text, trend.text)
    texts += (glucose_histories.some_rule(random, random.choice(glucose_histories.KINDS))[0],)
    made = (rule for text in texts for rule in RuleFile.model_validate(yaml.safe_load(text)).rules)
    return RuleSet((*load_catalog().rules, *made)), (
        *trend.signals,
        "systolic",
        "sensor_glucose",
        *trend_histories.CENTRES,
    )


def somebody(random: Random, rules: RuleSet, signals: tuple[str, ...]) -> PatientHistory:
    """Who measures all that, with numbers of their own for some of the rules, or with ones that do not fit."""
    days = random.randint(20, 60)
    if random.random() < 0.3:
        made = glucose_histories.some_patient(random, "sensor_glucose", days=days)
    else:
        made = trend_histories.some_patient(random, signals, days=days)
    if random.random() < 0.3:
        made = replace(made, readings=tuple(histories.failed(random, reading) for reading in made.readings))
    own: dict[str, PersonalThreshold] = {}
    for rule in random.sample(rules.rules, 8):
        numbers = () if isinstance(rule, UnnumberedRule) else numbers_of(rule, {})
        moved = {number.name: number.value + random.choice((-1, 0, 1)) * number.step for number in numbers}
        own[rule.id] = PersonalThreshold(version=3, parameters=moved if random.random() < 0.8 else {"hat": 7})
    answers = tuple(
        Symptom(at=reading.measured_at, has_symptoms=random.random() < 0.5) for reading in made.readings[::9]
    )
    return replace(histories.history_of(made), thresholds=own, symptoms=answers)


def judged_one_by_one(history: PatientHistory, rules: RuleSet, span: Span) -> dict[str, list[Finding]]:
    """What the judge of every day says, asked anew for each rule and told to say everything."""
    judged_from = span.since - backtest.LEAD - timedelta(days=look_back_days(rules))
    found = {}
    for rule in rules.rules:
        own = history.thresholds.get(rule.id, PersonalThreshold(version=0, parameters={}))
        try:
            check_parameters(rule, own.parameters)
        except MalformedError:
            own = PersonalThreshold(version=0, parameters={})
        watched = {rule.id: replace(own, is_watched=True)}
        alone = replace(history, thresholds=watched, judged_from=judged_from)
        judged = judge(alone, RuleSet((rule,)), now=span.until).findings
        found[rule.id] = [finding for finding in judged if finding.state != "pending"]
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63).map(Random))
def test_what_is_worked_out_once_for_all_rules_is_what_each_judging_alone_finds(random: Random) -> None:
    rules, signals = any_rules(random)
    history = somebody(random, rules, signals)
    newest = from_us(int(history.window.measured_at_us[-1])) if len(history.window) else FIRST
    span = Span(
        since=newest - timedelta(days=random.randint(5, 50)), until=newest + timedelta(days=random.randint(0, 9))
    )
    found = replay(history, rules, span, as_written=False, with_wishes=True)
    alone = judged_one_by_one(history, rules, span)
    calendar = Calendar(history.zones, span.until)
    assert found.alerts == tuple(
        Alert(
            patient_id=1,
            rule_id=rule_id,
            rule_version=each.rule_version,
            priority=each.priority,
            opened_at=each.opened_at,
            resolved_at=each.resolved_at,
            told_on=date.fromordinal(calendar.day_of(each.deliver_at)),
            first_day=each.first_day,
            last_day=each.last_day,
            is_for_doctor="doctor" in each.tell,
        )
        for rule_id, findings in alone.items()
        for each in findings
        if span.since <= each.opened_at < span.until
    )
    for wish in found.wishes:
        if wish.parameters:
            tried = replace(
                history, thresholds={wish.rule_id: PersonalThreshold(version=1, parameters=wish.parameters)}
            )
            findings = judged_one_by_one(tried, rules, span)[wish.rule_id]
            assert sum(span.since <= each.opened_at < span.until for each in findings) == wish.alerts_then


def test_the_made_up_people_do_have_alerts_of_every_kind_of_rule() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(60):
        random = Random(seed)
        rules, signals = any_rules(random)
        history = somebody(random, rules, signals)
        until = from_us(int(history.window.measured_at_us[-1])) + timedelta(days=1) if len(history.window) else FIRST
        span = Span(since=until - timedelta(days=60), until=until)
        found = replay(history, rules, span, as_written=False, with_wishes=True)
        kinds.update(rules.by_id(alert.rule_id).when.kind for alert in found.alerts)
        kinds["wishes"] += len(found.wishes)
    assert set(kinds) >= {*MEASURED, "wishes"}, kinds


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63).map(Random))
def test_what_is_loaded_for_a_span_finds_what_the_whole_past_does(random: Random) -> None:
    made = histories.patient(random, days=180)
    whole = histories.history_of(made)
    if not len(whole.window):
        return
    newest = from_us(int(whole.window.measured_at_us[-1]))
    span = Span(since=newest - timedelta(days=random.randint(1, 20)), until=newest + timedelta(days=2))
    expected = [f for f in judge(whole, CATALOG, now=span.until).findings if f.state != "pending"]
    since = backtest.loaded_from(CATALOG, span)
    judged_from = since + timedelta(days=reach_days(CATALOG))
    if any(f.opened_at <= judged_from and (f.resolved_at is None or f.resolved_at > judged_from) for f in expected):
        return  # open when judging begins
    rows = [row for row in map(histories.row_of, made.readings) if row.measured_at >= since]
    found = replayed(replace(whole, window=window_of(rows)), CATALOG, span)
    assert sorted((a.rule_id, a.opened_at, a.resolved_at) for a in found.alerts) == sorted(
        (f.rule_id, f.opened_at, f.resolved_at) for f in expected if span.since <= f.opened_at < span.until
    )
