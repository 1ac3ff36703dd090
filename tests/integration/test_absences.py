"""Who measures nothing is found though nobody sends anything; who cannot be heard is not called silent. On a real PostgreSQL."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from households import Household, enrol
from moving_clock import install, show
from msgspec.structs import replace

from server.intake import Intake
from server.judge import Judge
from server.rules.backtest import Span, loaded_from, replay
from server.rules.rule import RuleFile, RuleSet
from server.rules.windows import UnheardSpan
from server.store.backtests import histories
from server.store.enrolment import bind_meter, unbind_meter
from server.store.judging import history_of
from server.store.postgres import Pool, open_pool
from server.store.recompute import MARKS, load_cases
from server.watch.states import keep_alarms
from vitals.reading import Reading

SHANGHAI = ZoneInfo("Asia/Shanghai")
FIRST = date(2026, 6, 1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SEVEN, PLAN = "no-reading-7-days", "bp-plan-4-of-7-days"

RULES = RuleSet(
    RuleFile.model_validate(
        yaml.safe_load(
            """
            rules:
              - id: no-reading-7-days
                version: 1
                title: {en: "Nothing measured", zh: "没有测量"}
                source: "made up"
                when: {kind: silence, days: 7, unknown_after_hours: 6}
                resolve: {by: measuring}
                priority: low
                tell: [patient, doctor]
                patient_message: {en: "Please measure.", zh: "请测量。"}
              - id: bp-plan-4-of-7-days
                version: 1
                title: {en: "Too few", zh: "太少"}
                source: "made up"
                watch: chosen
                when: {kind: schedule, of: blood_pressure, measured_days: 4, of_days: 7, unknown_after_hours: 6}
                resolve: {by: schedule}
                priority: low
                tell: [doctor]
            """
        )
    ).rules
)


def at(day: int, hour: float = 7.0) -> datetime:
    """So many days after 1 June 2026, at an hour in Shanghai."""
    return (datetime(2026, 6, 1, tzinfo=SHANGHAI) + timedelta(days=day, hours=hour)).astimezone(UTC)


def close(day: int) -> datetime:
    return at(day + 1, 3)


@dataclass(slots=True)
class Life:
    """A clinic whose clock is set, and one home in it."""

    pool: Pool
    home: Household
    doctor_id: int
    sent: dict[str, int] = field(default_factory=dict)

    def pass_to(self, until: datetime) -> None:
        """Nobody does anything; whoever is due by then has been judged."""
        while True:
            ((due_at,),) = self.ask("select min(due_at) from due where due_at <= %s", until)
            self.set_clock(until if due_at is None else max(due_at, self.now()))
            if due_at is None:
                return
            assert Judge(self.pool, RULES).judge_due() > 0

    def take(self, reading: Reading, home: Household | None = None) -> None:
        """It comes when it is measured, or now if that is later; and is judged."""
        home = home or self.home
        self.set_clock(max(self.now(), reading.measured_at))
        self.sent[home.gateway_id] = self.sent.get(home.gateway_id, 0) + 1
        receipt = Intake(self.pool).take(
            home.envelope(reading, first_seq=self.sent[home.gateway_id]), topic_gateway=home.gateway_id, quiet=False
        )
        assert receipt is not None
        self.pass_to(self.now())

    def watch(self, instant: datetime) -> None:
        """The house looks at its gateways then."""
        self.pass_to(instant)
        with self.pool.connection() as conn:
            assert keep_alarms(conn)

    def hear(self, instant: datetime) -> None:
        """The home's gateway says that it is there."""
        self.pass_to(instant)
        self.ask(
            "update gateway set last_heard_at = now(), first_heard_at = coalesce(first_heard_at, now()) where gateway_id = %s",
            self.home.gateway_id,
        )
        with self.pool.connection() as conn:
            assert keep_alarms(conn)

    def ring(self) -> None:
        """Somebody has changed something: judge now."""
        self.ask(
            "insert into due (patient_id, due_at, since, reason) values (%s, now(), now(), 'changed')",
            self.home.patient_id,
        )
        self.pass_to(self.now())

    def now(self) -> datetime:
        ((instant,),) = self.ask("select now()")
        assert isinstance(instant, datetime)
        return instant

    def set_clock(self, instant: datetime) -> None:
        with self.pool.connection() as conn:
            show(conn, instant)

    def episodes(self) -> list[tuple[Any, ...]]:
        return self.ask("select rule_id, state, opened_at, resolved_at from episode order by opened_at, rule_id")

    def unheard(self, since: datetime) -> tuple[UnheardSpan, ...]:
        with self.pool.connection() as conn:
            return history_of(conn, self.home.patient_id, since=since, judged_from=since, asks_absence=True).unheard

    def ask(self, query: str, *args: object) -> list[tuple[Any, ...]]:
        with self.pool.connection() as conn:
            cursor = conn.execute(query.encode(), args)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def life(database_url: str) -> Iterator[Life]:
    install(database_url)
    with open_pool(database_url) as pool:
        with pool.connection() as conn:
            show(conn, at(0, 9))
        with pool.connection() as conn:
            row = conn.execute(
                b"""insert into app_user (login, display_name, role, password_hash) values ('d', 'D', 'doctor', '')
                    returning user_id"""
            ).fetchone()
            assert row is not None
            home = enrol(conn, enrolled_on=FIRST, doctor_id=row[0])
            conn.execute(b"update gateway set last_heard_at = now(), first_heard_at = now()")
        yield Life(pool=pool, home=home, doctor_id=row[0])


def measure(life: Life, day: int, hour: float = 7.0, **changes: Any) -> None:
    life.take(life.home.pressure(at(day, hour), 122, 78, **changes))


def pushes(life: Life) -> list[tuple[Any, ...]]:
    return life.ask("select recipient, state, due_at from push order by recipient")


def test_a_silence_is_found_by_the_timer_alone_and_told_at_eight(life: Life) -> None:
    measure(life, 1)
    life.pass_to(close(8) - timedelta(minutes=1))
    assert life.episodes() == []
    life.pass_to(close(8))
    assert life.episodes() == [(SEVEN, "active", close(8), None)]
    assert pushes(life) == [("patient", "pending", at(9, 8)), (f"user:{life.doctor_id}", "pending", at(9, 8))]
    ((sentence, version),) = life.ask("select sentence, version from episode")
    assert sentence["en"] == "Nothing measured for 7 days (since 2 June)"

    life.pass_to(close(11))
    ((sentence, grown),) = life.ask("select sentence, version from episode")
    assert (sentence["en"], grown) == ("Nothing measured for 10 days (since 2 June)", version + 3)
    assert life.ask("select count(*) from push where kind = 'opening'") == [(2,)]


def test_the_next_reading_ends_it(life: Life) -> None:
    measure(life, 1)
    life.pass_to(close(8))
    life.take(life.home.glucose(at(10, 7)))
    assert life.episodes() == [(SEVEN, "resolved", close(8), at(10, 7))]


def test_somebody_who_never_measures_is_found_though_nothing_was_ever_due(life: Life) -> None:
    life.pass_to(close(7))
    assert life.episodes() == [(SEVEN, "active", close(7), None)]


def test_a_late_reading_takes_the_alert_back_before_anybody_is_told(life: Life) -> None:
    measure(life, 1)
    life.pass_to(close(8))
    measure(life, 5)
    assert life.ask("select state from episode") == [("retracted",)]
    assert life.ask("select distinct state from push") == [("cancelled",)]
    life.pass_to(close(12))
    assert life.ask("select state from episode order by opened_at")[-1] == ("active",)


def test_behind_a_gateway_that_is_not_heard_nobody_is_silent(life: Life) -> None:
    measure(life, 1)
    life.watch(at(3, 12))
    assert life.ask("select kind, subject from alarm") == [("gateway_unheard", life.home.gateway_id)]
    life.pass_to(close(14))
    assert life.episodes() == []
    life.hear(at(15, 12))
    life.pass_to(close(21))
    assert life.unheard(at(1)) == (UnheardSpan(began=at(3, 12), ended=at(15, 12)),)
    assert life.episodes() == [(SEVEN, "active", close(21), None)]
    ((numbers,),) = life.ask("select verdict from episode")
    assert (numbers["days"], numbers["unknown_days"]) == (7, 13)


def test_a_house_that_hears_nobody_calls_nobody_silent(life: Life) -> None:
    with life.pool.connection() as conn:
        other = enrol(conn, enrolled_on=FIRST)
    measure(life, 1)
    life.take(
        other.pressure(
            at(
                1,
                7,
            ),
            122,
            78,
        ),
        other,
    )
    life.watch(at(1, 8))
    assert life.ask("select kind from alarm order by kind") == [("nobody_heard",)]
    life.pass_to(close(14))
    assert life.episodes() == []
    assert life.unheard(at(1)) == (UnheardSpan(began=at(1, 8), ended=None),)


def test_a_gateway_that_was_never_heard_is_not_heard_until_it_is(life: Life) -> None:
    life.ask("update gateway set last_heard_at = null, first_heard_at = null")
    life.pass_to(close(20))
    assert life.episodes() == []
    life.hear(at(21, 12))
    assert life.unheard(at(0, 0))[-1] == UnheardSpan(began=at(0, 9), ended=at(21, 12))
    life.pass_to(close(28))
    assert life.episodes() == [(SEVEN, "active", close(28), None)]


def test_without_a_meter_nobody_is_silent(life: Life) -> None:
    measure(life, 1)
    with life.pool.connection() as conn:
        for meter_id in (life.home.cuff, life.home.glucometer):
            unbind_meter(conn, meter_id=meter_id, user_slot=None, now=at(2, 12))
    life.pass_to(close(14))
    assert life.episodes() == []
    with life.pool.connection() as conn:
        bind_meter(
            conn,
            meter_id=life.home.cuff,
            user_slot=None,
            gateway_id=life.home.gateway_id,
            patient_id=life.home.patient_id,
            bound_by="d",
            now=at(15, 3),
        )
    assert life.unheard(at(1)) == (UnheardSpan(began=at(2, 12), ended=at(15, 3)),)
    life.pass_to(close(30))
    assert life.episodes() == [(SEVEN, "active", close(21), None)]


def test_readings_that_may_be_the_patients_keep_a_silence_open_for_a_week(life: Life) -> None:
    measure(life, 1)
    stray = life.home.pressure(at(4, 9), 150, 90)
    life.take(replace(stray, meter_id="AA:00:00:00:00:01"))
    assert life.ask("select reason from quarantine") == [("unknown_meter",)]
    assert life.unheard(at(1)) == (UnheardSpan(began=at(4, 9), ended=at(11, 9)),)
    life.pass_to(close(14))
    assert life.episodes() == []
    life.pass_to(close(15))
    assert life.episodes() == [(SEVEN, "active", close(15), None)]
    life.ask("update quarantine set resolved_at = %s, resolved_by = 'd'", at(6, 9))
    assert life.unheard(at(1)) == (UnheardSpan(began=at(4, 9), ended=at(6, 9)),)


def test_a_gateway_that_is_shut_out_is_not_heard(life: Life) -> None:
    measure(life, 1)
    life.ask("update gateway set state = 'revoked'")
    life.pass_to(close(14))
    assert life.episodes() == []
    assert life.unheard(at(0)) == (UnheardSpan(began=at(1), ended=None),)


def test_a_reading_that_is_void_counts_for_nothing_and_one_moved_here_counts(life: Life) -> None:
    measure(life, 1)
    measure(life, 5)
    life.pass_to(close(8))
    assert life.episodes() == []
    _say_elsewhere(life, at(5), None)
    life.ring()
    assert life.episodes() == [(SEVEN, "active", close(8), None)]
    with life.pool.connection() as conn:
        history = history_of(conn, life.home.patient_id, since=at(8), judged_from=at(8), asks_absence=True)
    assert history.last_counted_before == at(1)
    life.ask("delete from reading_elsewhere")
    with life.pool.connection() as conn:
        history = history_of(conn, life.home.patient_id, since=at(8), judged_from=at(8), asks_absence=True)
    assert history.last_counted_before == at(5)


def _say_elsewhere(life: Life, measured_at: datetime, patient_id: int | None) -> None:
    life.ask(
        """insert into reading_elsewhere (stored_as, reading_id, patient_id, kind, measured_at)
           select patient_id, reading_id, %s, kind, measured_at from reading where measured_at = %s""",
        patient_id,
        measured_at,
    )


def test_a_long_silence_is_the_same_at_every_close_though_its_last_reading_is_out_of_view(life: Life) -> None:
    measure(life, 1)
    life.pass_to(close(120))
    ((numbers, first_day),) = life.ask("select verdict, first_day from episode")
    assert (numbers["days"], numbers["since"], first_day) == (119, at(1).isoformat(), date(2026, 6, 3))
    assert life.ask("select distinct reason from episode_transition") == [("found",)]


def test_a_plan_speaks_of_those_for_whom_it_was_chosen_by_numbers_of_their_own(life: Life) -> None:
    for day in (1, 2, 3, 4, 5):
        measure(life, day)
    life.pass_to(close(8))
    assert life.episodes() == []
    life.ask(
        """insert into patient_threshold (patient_id, rule_id, version, parameters, set_by, set_at, is_watched)
           values (%s, %s, 1, '{"measured_days": 6}', 'd', now(), true)""",
        life.home.patient_id,
        PLAN,
    )
    life.ring()
    assert life.episodes() == [(PLAN, "active", close(7), None)]


def test_the_back_test_and_the_oracle_are_told_what_the_judge_is_told(life: Life) -> None:
    measure(life, 1)
    life.watch(at(3, 12))
    life.hear(at(5, 12))
    measure(life, 20)
    life.pass_to(close(45))
    span = Span(since=at(2), until=close(45))
    (history,) = histories(life.pool, [life.home.patient_id], since=loaded_from(RULES, span), with_absences=True)
    alerts = replay(history, RULES.only((SEVEN,)), span, as_written=True, with_wishes=False).alerts
    assert [(each.rule_id, _state(each.resolved_at), each.opened_at, each.resolved_at) for each in alerts] == (
        life.episodes()
    )

    life.ask("delete from push")
    life.ask("delete from episode_transition")
    life.ask("delete from follow_up_episode")
    life.ask("delete from episode")
    for days in (3, 60):
        with life.pool.connection() as conn:
            (case,) = load_cases(
                conn, [life.home.patient_id], days=days, look_back=timedelta(days=1), reach=timedelta(days=2)
            )
        assert case.patient.judged_from is not None
        seen_from = case.patient.judged_from - timedelta(days=2) - MARKS
        (seen,) = histories(life.pool, [life.home.patient_id], since=seen_from, with_absences=True)
        assert case.patient.last_counted_before == seen.last_counted_before == (at(20) if days == 3 else None)
        told = sorted(set(case.patient.unheard), key=lambda span: span[0])
        assert [UnheardSpan(began=began, ended=ended) for began, ended in told] == list(seen.unheard)
        assert len(told) == (0 if days == 3 else 2)


def _state(resolved_at: datetime | None) -> str:
    return "active" if resolved_at is None else "resolved"
