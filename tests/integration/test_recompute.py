"""Every alert computed anew by the oracle: nothing differs in a house that is well, and every kind of damage is found."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from households import enrol
from moving_clock import follow, install, show
from population import DAYS, Population, open_life
from structlog.testing import capture_logs

from homevigil.embedded.postgres import EmbeddedPostgres
from server.clock import now
from server.intake import Intake
from server.judge import Judge
from server.oracle import failures
from server.oracle.rules import OracleRule, rules_of
from server.oracle.shapes import OracleAlert
from server.rules.load import CATALOG, is_scenario, load_catalog
from server.rules.rule import RuleFile, RuleSet
from server.store import recompute as store
from server.store.alarms import Alarm, AlarmKind, open_alarms
from server.store.judging import postpone
from server.store.postgres import Pool, in_transaction, open_pool
from server.store.recompute import DifferenceKind, Found
from server.watch.nightly import newest_night, recompute_nightly
from server.watch.recompute import BusyError, recompute, recompute_one

PEOPLE_ENV = "RECOMPUTE_PEOPLE"
PEOPLE = int(os.environ.get(PEOPLE_ENV) or 70)
"""Enough for every event that is compared; who wants to look further says so, or runs `homevigil faults --ring D1`, which lives
whole months with the same comparison at their ends."""
JUDGED_ANEW = 60
RULE = "bp-above-140-90-3-days"
pytestmark = pytest.mark.timeout(900)
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """A database in which people have lived, and what was found in it week by week, and at last."""

    database: str
    found: tuple[Found, ...]
    at: datetime
    doctor_id: int


@pytest.fixture(scope="module")
def lived(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[Lived]:
    url = postgres.create_database("lived", template=migrated_template)
    install(url)
    found = []
    with open_life(url) as pool:
        doctor_id = add_doctor(pool)
        population = Population(pool=pool, random=Random("people"), doctor_id=doctor_id)
        population.move_in(PEOPLE)
        for day in (*range(7, DAYS, 7), DAYS):
            population.play(timedelta(days=day))
            found.append(again(pool))
        at = population.at
    yield Lived(database="lived", found=tuple(found), at=at, doctor_id=doctor_id)
    postgres.drop_database("lived")


@pytest.fixture
def clinic(postgres: EmbeddedPostgres, lived: Lived) -> Iterator[Pool]:
    """A copy of it, to damage."""
    name = f"damaged_{next(_numbers)}"
    url = postgres.create_database(name, template=lived.database)
    follow(url)
    with open_pool(url) as pool:
        yield pool
    postgres.drop_database(name)


def add_doctor(pool: Pool) -> int:
    ((user_id,),) = ask(
        pool,
        "insert into app_user (login, display_name, role, password_hash) values ('d', 'D', 'doctor', '') returning user_id",
    )
    return int(user_id)


def again(pool: Pool, **options: Any) -> Found:
    found = recompute(pool, threading.Event(), **{"patience_s": 0.0} | options)
    assert found is not None
    return found


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(query.encode(), args)
        return cursor.fetchall() if cursor.description else []


def one_alert(pool: Pool, where: str = "true") -> tuple[Any, int, str]:
    """`(episode_id, patient_id, rule_id)` of a stored alert that people were told of and that holds, or held lately."""
    found = ask(
        pool,
        f"""select episode_id, patient_id, rule_id from episode e
            where state in ('active', 'acknowledged') and rule_id = '{RULE}' and {where}
              and not exists (select from patient_threshold t where t.patient_id = e.patient_id)
              and exists (select from push p where p.episode_id = e.episode_id and p.kind = 'opening')
            order by episode_id limit 1""",
    )
    assert found, "nobody has such an alert: the population is too well"
    return found[0]


def kinds_of(found: Found, patient_id: int) -> set[DifferenceKind]:
    """In what this patient differs; nobody else does."""
    assert {each.patient_id for each in found.differences} <= {patient_id}
    return {each.kind for each in found.differences}


def test_nothing_differs_week_by_week_in_a_house_that_is_well(lived: Lived) -> None:
    assert [each.differences for each in lived.found] == [()] * len(lived.found)
    assert all(each.patients == PEOPLE and each.waiting == 0 for each in lived.found)
    assert sum(each.alerts for each in lived.found) > 5 * PEOPLE


def test_the_population_has_lived_through_everything_that_is_compared(clinic: Pool) -> None:
    ((changes,),) = ask(clinic, "select array_agg(distinct reason) from episode_transition")
    assert {"found", "found_late", "no_longer_true", "readings", "threshold_changed"} <= set(changes)
    assert {"true_again", "true_again_late"} & set(changes)
    ((closed, acknowledged, retracted, moved, own),) = ask(
        clinic,
        """select (select count(*) from episode where resolved_by is not null),
                  (select count(*) from episode_transition where to_state = 'acknowledged'),
                  (select count(*) from episode where state = 'retracted'),
                  (select count(*) from (select from patient_zone group by patient_id having count(*) > 1) as m),
                  (select count(*) from patient_threshold)""",
    )
    assert min(closed, acknowledged, moved, own) > 10
    assert retracted > 3
    ((repeated, rejected, invalid),) = ask(
        clinic,
        """select (select sum(repeated) from gateway_account),
                  count(*) filter (where quality = 'rejected'), count(*) filter (where quality = 'invalid') from reading""",
    )
    assert min(repeated, rejected, invalid) > 100


def test_an_alert_that_was_deleted_is_missing(clinic: Pool) -> None:
    episode_id, patient_id, _ = one_alert(
        clinic, "not exists (select from decision d where d.episode_id = e.episode_id)"
    )
    for table in ("push", "follow_up_episode", "episode_transition", "episode"):
        ask(clinic, f"delete from {table} where episode_id = %s", episode_id)
    assert kinds_of(again(clinic), patient_id) == {DifferenceKind.MISSING}


def test_days_that_were_shifted_are_other_days(clinic: Pool) -> None:
    episode_id, patient_id, _ = one_alert(clinic)
    ask(clinic, "update episode set last_day = last_day + 1 where episode_id = %s", episode_id)
    assert kinds_of(again(clinic), patient_id) == {DifferenceKind.OTHER_DAYS}


@pytest.mark.parametrize("column", ["started_at", "opened_at"])
def test_an_instant_that_is_a_second_off_is_another_instant(clinic: Pool, column: str) -> None:
    episode_id, patient_id, _ = one_alert(clinic)
    ask(clinic, f"update episode set {column} = {column} + interval '1 second' where episode_id = %s", episode_id)
    assert kinds_of(again(clinic), patient_id) == {DifferenceKind.OTHER_INSTANTS}


def test_an_alert_that_ended_by_itself_is_in_another_state(clinic: Pool) -> None:
    episode_id, patient_id, _ = one_alert(clinic)
    ask(clinic, "update episode set state = 'resolved', resolved_at = now() where episode_id = %s", episode_id)
    assert DifferenceKind.OTHER_STATE in kinds_of(again(clinic), patient_id)


def test_an_alert_of_another_priority_or_for_other_readings_has_other_grounds(clinic: Pool) -> None:
    episode_id, patient_id, _ = one_alert(clinic)
    ask(clinic, "update episode set priority = 'medium' where episode_id = %s", episode_id)
    assert kinds_of(again(clinic), patient_id) == {DifferenceKind.OTHER_GROUNDS}
    ask(
        clinic,
        "update episode set priority = 'low', verdict = verdict - 'reading_ids' where episode_id = %s",
        episode_id,
    )
    assert kinds_of(again(clinic), patient_id) == {DifferenceKind.OTHER_GROUNDS}


def test_thresholds_that_the_patient_never_had_are_other_thresholds(clinic: Pool) -> None:
    episode_id, patient_id, _ = one_alert(clinic)
    ask(clinic, "update episode set threshold_version = 7 where episode_id = %s", episode_id)
    assert kinds_of(again(clinic), patient_id) == {DifferenceKind.OTHER_THRESHOLDS, DifferenceKind.MISSING}


@pytest.mark.parametrize("whom", ["= 'patient'", "<> 'patient'"])
def test_a_message_that_is_gone_was_not_pushed(clinic: Pool, whom: str) -> None:
    found = """(select f.to_state = 'active' and f.reason <> 'seeded' and f.at <= e.started_at + interval '7 days'
                from episode_transition f
                where f.episode_id = e.episode_id and f.by_user is null and f.to_state in ('active', 'resolved')
                  and coalesce(f.from_state, 'retracted') in ('resolved', 'retracted')
                order by f.transition_id desc limit 1)"""
    episode_id, patient_id, _ = one_alert(clinic, found)
    ask(clinic, f"delete from push where episode_id = %s and recipient {whom}", episode_id)
    assert kinds_of(again(clinic), patient_id) == {DifferenceKind.NOT_PUSHED}


def test_a_critical_event_of_which_the_doctor_never_heard_was_not_pushed(clinic: Pool) -> None:
    ((episode_id, patient_id),) = ask(
        clinic,
        """select episode_id, patient_id from episode
           where rule_id = 'bp-critical' and state in ('active', 'acknowledged') limit 1""",
    )
    ask(clinic, "delete from push where episode_id = %s and recipient <> 'patient'", episode_id)
    assert kinds_of(again(clinic), patient_id) == {DifferenceKind.NOT_PUSHED}


@pytest.mark.parametrize("rule_id", [RULE, "bp-critical", "check-the-meter", "a-rule-of-nobody"])
def test_an_alien_alert_is_extra(clinic: Pool, rule_id: str) -> None:
    ((patient_id,),) = ask(
        clinic,
        """select min(patient_id) from patient
           where patient_id not in (select patient_id from episode union select patient_id from patient_threshold)""",
    )
    assert patient_id is not None
    ask(
        clinic,
        """insert into episode (episode_id, patient_id, rule_id, rule_version, state, priority, first_day, last_day,
                                started_at, opened_at, judged_at, verdict, sentence)
           select gen_random_uuid(), %s, %s, %s, 'active', 'low', now()::date - 3, now()::date - 1, now() - interval '3 days',
                  now() - interval '1 day', now(), '{}', '{}'""",
        patient_id,
        rule_id,
        rules.by_id(rule_id).version if rule_id in (rules := load_catalog()) else 1,
    )
    assert kinds_of(again(clinic), patient_id) == {DifferenceKind.EXTRA}


def test_a_mark_that_was_changed_under_the_judge_is_found(clinic: Pool) -> None:
    episode_id, patient_id, _ = one_alert(clinic, "patient_id <= 60")
    ask(
        clinic,
        """update reading set quality = 'rejected'
           where patient_id = %s and reading_id::text in (
               select jsonb_array_elements_text(verdict->'reading_ids') from episode where episode_id = %s)""",
        patient_id,
        episode_id,
    )
    rejudge(clinic, load_catalog())
    assert DifferenceKind.MISSING in kinds_of(again(clinic), patient_id)


def test_a_value_that_was_changed_under_the_judge_is_found(clinic: Pool) -> None:
    _, patient_id, _ = one_alert(clinic, "patient_id <= 60")
    ask(clinic, "update reading set systolic_mmhg = 120, diastolic_mmhg = 70 where patient_id = %s", patient_id)
    rejudge(clinic, load_catalog())
    assert DifferenceKind.MISSING in kinds_of(again(clinic), patient_id)


def rejudge(pool: Pool, rules: RuleSet) -> None:
    """The first few are judged anew, from the beginning."""
    ask(
        pool,
        """insert into due (patient_id, due_at, since, reason)
           select patient_id, now(), now() - interval '60 days', 'again' from patient where patient_id <= %s""",
        JUDGED_ANEW,
    )
    while Judge(pool, rules).judge_due():
        pass


def test_judging_anew_changes_nothing(clinic: Pool) -> None:
    rejudge(clinic, load_catalog())
    assert again(clinic).differences == ()


BROKEN: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "a higher threshold": (RULE, lambda rule: rule["when"]["any_of"][0].update(above=141)),
    "at least for above": (
        "bp-critical",
        lambda rule: rule["when"]["any_of"][0].update(above=rule["when"]["any_of"][0].pop("at_least")),
    ),
    "a shorter span": (RULE, lambda rule: rule["when"].update(max_span_days=3)),
    "two days for three": (RULE, lambda rule: rule["when"].update(days=2)),
    "an earlier end": (RULE, lambda rule: rule["resolve"].update(days=2)),
    "an end for nothing": (RULE, lambda rule: rule["resolve"].update(below_by=0)),
    "hours of a critical alert": ("bp-critical", lambda rule: rule["resolve"].update(visible_hours=23)),
    "accepted alone": ("bp-critical", lambda rule: rule["when"].update(readings=["accepted"])),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_judge_by_other_rules_is_found(clinic: Pool, name: str) -> None:
    rule_id, damage = BROKEN[name]
    written = [
        rule
        for file in sorted(CATALOG.glob("*.yaml"))
        if not is_scenario(file)
        for rule in yaml.safe_load(file.read_text(encoding="utf-8"))["rules"]
    ]
    damage(next(rule for rule in written if rule["id"] == rule_id))
    rejudge(clinic, RuleSet(RuleFile.model_validate({"rules": written}).rules))
    found = again(clinic).differences
    assert found
    assert {each.rule_id for each in found} == {rule_id}


def test_what_is_due_and_judged_by_nobody_is_said(clinic: Pool) -> None:
    ask(clinic, "insert into due (patient_id, due_at, since, reason) values (1, now(), now(), 'reading')")
    found = again(clinic)
    assert kinds_of(found, 1) == {DifferenceKind.NOT_JUDGED}
    assert (found.patients, found.waiting) == (PEOPLE - 1, 1)


def test_readings_whose_judging_breaks_are_due_though_they_were_put_off(clinic: Pool) -> None:
    ask(clinic, "insert into due (patient_id, due_at, since, reason) values (1, now(), now(), 'reading')")
    in_transaction(clinic, lambda conn: postpone(conn, 1, 300.0))
    assert kinds_of(again(clinic), 1) == {DifferenceKind.NOT_JUDGED}


def test_what_waits_for_its_hour_is_not_put_off(clinic: Pool) -> None:
    ask(
        clinic,
        "insert into due (patient_id, due_at, since, reason) values (1, now() + interval '1 hour', now(), 'snooze')",
    )
    assert again(clinic).differences == ()


def test_who_is_being_judged_just_now_is_looked_at_again(clinic: Pool) -> None:
    ask(clinic, "insert into due (patient_id, due_at, since, reason) values (1, now(), now(), 'reading')")
    working = threading.Thread(target=Judge(clinic, load_catalog()).judge_due)
    looked = threading.Event()

    class Looking(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout and not looked.is_set():  # after the first look at everybody: now the judge comes to it
                looked.set()
                working.start()
                working.join()
            return self.is_set()

    found = recompute(clinic, Looking(), patience_s=60)
    assert looked.is_set()
    assert found is not None
    assert (found.patients, found.waiting, found.differences) == (PEOPLE, 0, ())


def test_an_oracle_that_breaks_is_no_agreement(clinic: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[OracleAlert]:
        raise ZeroDivisionError

    monkeypatch.setattr(failures, "alerts", broken)
    with capture_logs() as logs:  # not rendered: a traceback with locals would show, slowly, every reading of everybody
        found = again(clinic)
    assert sum(line["event"] == "recompute_broken" for line in logs) == PEOPLE
    assert {each.kind for each in found.differences} == {DifferenceKind.NOT_COMPUTED}
    assert len(found.differences) == PEOPLE


def _of_recompute(pool: Pool) -> list[Alarm]:
    """The open alarms but those of critical values that nobody has answered, of which this house is full."""
    return [alarm for alarm in in_transaction(pool, open_alarms) if alarm.kind != AlarmKind.NOT_ANSWERED]


def test_a_difference_is_kept_and_is_an_alarm_until_a_run_without_one(clinic: Pool) -> None:
    episode_id, patient_id, _ = one_alert(clinic)
    ask(clinic, "update episode set first_day = first_day - 1 where episode_id = %s", episode_id)
    again(clinic)
    run = in_transaction(clinic, store.last_run)
    assert run is not None
    assert (run.differences, run.patients) == (1, PEOPLE)
    kept = ask(
        clinic,
        "select patient_id, rule_id, kind, episode_id, computed->>'last_day', stored->>'last_day' from recompute_difference",
    )
    assert [row[:4] for row in kept] == [(patient_id, RULE, "other_days", episode_id)]
    assert kept[0][4] == kept[0][5] is not None
    (alarm,) = _of_recompute(clinic)
    assert (alarm.kind, alarm.detail) == (
        AlarmKind.RECOMPUTE_DIFFERENT,
        f"1 differences of 1 patients in run {run.run_id}",
    )
    ask(clinic, "update episode set first_day = first_day + 1 where episode_id = %s", episode_id)
    again(clinic, days=7)
    assert len(_of_recompute(clinic)) == 1, "a week says nothing of the month"
    again(clinic)
    assert _of_recompute(clinic) == []


def test_one_run_at_a_time_and_a_broken_one_counts_for_nothing(clinic: Pool, lived: Lived) -> None:
    before = in_transaction(clinic, store.last_run)
    run_id = in_transaction(clinic, lambda conn: store.begin_run(conn, days=35, lease_s=60))
    assert run_id is not None
    with pytest.raises(BusyError):
        again(clinic)
    with clinic.connection() as conn:
        show(conn, lived.at + timedelta(seconds=61))  # its process has died: nobody renews the lease
    assert in_transaction(clinic, store.last_run) == before
    assert again(clinic).patients == PEOPLE


def test_a_run_that_is_told_to_stop_is_begun_again_at_once(clinic: Pool) -> None:
    class StopAfterOneBatch(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            self.set()
            return True

    before = in_transaction(clinic, store.last_run)
    assert recompute(clinic, StopAfterOneBatch()) is None
    assert in_transaction(clinic, store.last_run) == before
    assert again(clinic).patients == PEOPLE


def test_a_few_days_are_compared_as_well_as_many(clinic: Pool) -> None:
    for days in (1, 10, 60):
        assert again(clinic, days=days).differences == ()


def test_each_alert_is_seen_alike_from_each_patient_alone(clinic: Pool) -> None:
    found = [recompute_one(clinic, patient_id, patience_s=0, stop=threading.Event()) for patient_id in range(1, 31)]
    assert sum(each.alerts for each in found) > 10
    assert [each.differences for each in found] == [()] * 30


def run(pool: Pool, *words: str) -> subprocess.CompletedProcess[str]:
    """`server recompute …` on that database."""
    env = os.environ | {"HOMEVIGIL_SERVER_DATABASE_URL": pool.conninfo, "HOMEVIGIL_SERVER_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "server", "recompute", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_prints_each_difference_in_words_and_leaves_with_one(clinic: Pool) -> None:
    well = run(clinic)
    assert well.returncode == 0, well.stderr
    assert well.stdout.startswith(f"{PEOPLE} patients, ")
    episode_id, patient_id, _ = one_alert(clinic)
    ask(clinic, "update episode set last_day = last_day + 1 where episode_id = %s", episode_id)
    ill = run(clinic)
    assert ill.returncode == 1
    assert f"patient {patient_id}, {RULE}: the alert from" in ill.stdout
    assert "last day is" in ill.stdout
    alone = run(clinic, "--patient", str(patient_id), "--days", "20", "--json")
    assert alone.returncode == 1
    assert [each["kind"] for each in json.loads(alone.stdout)["differences"]] == ["other_days"]
    assert run(clinic, "--patient", str(patient_id % PEOPLE + 1)).returncode == 0
    nobody = run(clinic, "--patient", "999999")
    assert (nobody.returncode, nobody.stdout) == (1, "")


def test_a_backlog_that_comes_in_pieces_is_told_when_it_has_become_news(pool: Pool) -> None:
    doctor_id = add_doctor(pool)
    with pool.connection() as conn:
        home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor_id)
    shanghai = ZoneInfo("Asia/Shanghai")
    morning = (now().astimezone(shanghai) - timedelta(hours=3)).replace(hour=8, minute=0, second=0, microsecond=0)
    judge = Judge(pool, load_catalog())
    seq = 0
    for days, told in (((14, 13, 12), 0), (range(11, 0, -1), 2), ((0,), 2)):
        readings = [home.pressure(morning - timedelta(days=day), 152, 94) for day in days]
        readings = [reading for reading in readings if reading.measured_at <= now()]
        if readings:
            payload = home.envelope(*readings, first_seq=seq + 1)
            assert Intake(pool).take(payload, topic_gateway=home.gateway_id, quiet=False) is not None
            seq += len(readings)
        judge.judge_due()
        assert ask(pool, "select count(*) from push where kind = 'opening'") == [(told,)]
        assert again(pool).differences == ()


def test_the_nightly_runs_at_its_start_and_not_again_before_the_night(pool: Pool) -> None:
    stopped = threading.Event()

    class StopAfterTheSecondLook(threading.Event):
        looks = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.looks += 1
            if self.looks == 2:
                self.set()
                stopped.set()
            return self.is_set()

    recompute_nightly(pool, StopAfterTheSecondLook())
    assert stopped.is_set()
    assert ask(pool, "select count(*), count(ended_at) from recompute_run") == [(1, 1)]


def test_a_house_that_was_not_recomputed_for_26_hours_says_so(clinic: Pool, lived: Lived) -> None:
    for hours, kinds in ((25, []), (27, [AlarmKind.RECOMPUTE_OVERDUE])):
        with clinic.connection() as conn:
            show(conn, lived.at + timedelta(hours=hours))
        in_transaction(clinic, store.keep_overdue_alarm)
        assert [alarm.kind for alarm in _of_recompute(clinic)] == kinds
    while Judge(clinic, load_catalog()).judge_due():
        pass
    again(clinic)
    in_transaction(clinic, store.keep_overdue_alarm)
    assert _of_recompute(clinic) == []


def test_the_night_is_that_of_the_zone_in_which_most_patients_live(clinic: Pool) -> None:
    assert in_transaction(clinic, store.clinic_zone) == "Europe/Berlin"
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert newest_night(noon, "Asia/Shanghai") == datetime(2026, 6, 30, 19, 30, tzinfo=UTC)
    assert newest_night(noon, "Europe/Berlin") == datetime(2026, 7, 1, 1, 30, tzinfo=UTC)
    assert newest_night(datetime(2026, 7, 1, 1, 29, 59, tzinfo=UTC), "Europe/Berlin").day == 30


def test_the_oracle_of_the_recompute_reads_all_that_is_in_force(clinic: Pool) -> None:
    rules: tuple[OracleRule, ...] = rules_of(in_transaction(clinic, store.approved_rules).text)
    assert {rule.id for rule in rules} == {rule.id for rule in load_catalog().rules}
