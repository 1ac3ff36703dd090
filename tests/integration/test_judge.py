"""Due patients become episodes and pushes, on a real PostgreSQL: once each, whoever dies and however many judge."""

import subprocess
import sys
import textwrap
import threading
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from households import Household, enrol

from server.clock import now
from server.intake import Intake
from server.judge import Judge, judge_in
from server.push.dispatch import Dispatcher
from server.push.inbox import Inbox
from server.rules.load import load_catalog
from server.rules.rule import RuleSet
from server.store.postgres import Bell, Pool, transaction
from server.store.pushes import add_webhook, switch_webhook
from vitals.reading import Reading

RULE = "bp-above-140-90-3-days"
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def rules() -> RuleSet:
    return load_catalog()


@pytest.fixture
def judge(pool: Pool, rules: RuleSet) -> Judge:
    return Judge(pool, rules)


@pytest.fixture
def doctor_id(pool: Pool) -> int:
    return add_doctor(pool)


@pytest.fixture
def home(pool: Pool, doctor_id: int) -> Household:
    return add_home(pool, doctor_id)


def add_doctor(pool: Pool) -> int:
    ((user_id,),) = ask(
        pool,
        "insert into app_user (login, display_name, role, password_hash) values ('d', 'D', 'doctor', '') returning user_id",
    )
    return int(user_id)


def add_home(pool: Pool, doctor_id: int | None) -> Household:
    with pool.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor_id)


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(query.encode(), args)
        return cursor.fetchall() if cursor.description else []


def days_ago(days: int, hour: int = 8) -> datetime:
    """`hour` o'clock in Shanghai, so many days before today; every day so named but today's is closed."""
    today = now().astimezone(SHANGHAI) - timedelta(hours=3)
    return (today - timedelta(days=days)).replace(hour=hour, minute=0, second=0, microsecond=0)


def take(pool: Pool, home: Household, *readings: Reading, first_seq: int, quiet: bool = False) -> None:
    receipt = Intake(pool).take(
        home.envelope(*readings, first_seq=first_seq), topic_gateway=home.gateway_id, quiet=quiet
    )
    assert receipt is not None
    assert receipt.rejected == ()


def three_high_days(home: Household) -> list[Reading]:
    return [home.pressure(days_ago(days), 152, 94) for days in (3, 2, 1)]


def pushes(pool: Pool) -> list[tuple[Any, ...]]:
    return ask(pool, "select recipient, channel, step, state from push order by recipient, step")


def send(pool: Pool) -> None:
    ask(pool, "update push set due_at = now() where state = 'pending'")  # it may be before eight in the morning there
    Dispatcher(pool, Inbox()).send_due()


def test_three_high_days_open_one_episode_and_tell_patient_and_doctor_once(
    pool: Pool, home: Household, judge: Judge, doctor_id: int
) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    assert judge.judge_due() == 1
    ((rule_id, state, first_day, last_day, sentence, numbers),) = ask(
        pool, "select rule_id, state, first_day, last_day, sentence, verdict from episode"
    )
    assert (rule_id, state) == (RULE, "active")
    assert (first_day, last_day) == (days_ago(3).date(), days_ago(1).date())
    assert set(sentence) == {"en", "zh"}
    assert numbers
    assert pushes(pool) == [("patient", "inbox", 0, "pending"), (f"user:{doctor_id}", "inbox", 0, "pending")]
    assert ask(pool, "select from_state, to_state, reason from episode_transition") == [(None, "active", "found")]
    assert ask(pool, "select count(*) from due where reason <> 'timer'") == [(0,)]


def test_the_patient_hears_the_rules_words_and_the_doctor_the_sentence(
    pool: Pool, home: Household, judge: Judge, rules: RuleSet
) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    ((patient,), (doctor,)) = ask(pool, "select text from push order by recipient")
    ((sentence,),) = ask(pool, "select sentence from episode")
    rule = rules.by_id(RULE)
    assert rule.patient_message is not None
    for language in ("en", "zh"):
        assert patient[language]["body"] == rule.patient_message[language]
        assert doctor[language] == {"title": rule.title[language], "body": sentence[language]}


def test_judging_again_changes_nothing(pool: Pool, home: Household, judge: Judge) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    before = ask(pool, "select * from episode"), pushes(pool), ask(pool, "select * from episode_transition")
    ask(pool, "insert into due (patient_id, due_at, since, reason) values (%s, now(), now(), 'again')", home.patient_id)
    assert judge.judge_due() == 1
    assert (ask(pool, "select * from episode"), pushes(pool), ask(pool, "select * from episode_transition")) == before


def test_what_is_not_due_yet_is_left_alone(pool: Pool, home: Household, judge: Judge) -> None:
    ask(
        pool,
        "insert into due (patient_id, due_at, since, reason) values (%s, now() + interval '1 hour', now(), 'timer')",
        home.patient_id,
    )
    assert judge.judge_due() == 0
    assert ask(pool, "select count(*) from due where due_at < now() + interval '2 hours'") == [(1,)]


def test_there_is_one_timer_for_a_patient_however_often_judged(pool: Pool, home: Household, judge: Judge) -> None:
    for number in range(3):
        take(pool, home, home.pressure(now().replace(microsecond=0) - timedelta(minutes=number)), first_seq=1 + number)
        judge.judge_due()
    ((due_at, quiet),) = ask(pool, "select due_at, quiet from due")
    assert now() < due_at < now() + timedelta(days=2)
    assert not quiet


def test_seeded_history_opens_episodes_and_tells_nobody(pool: Pool, home: Household, judge: Judge) -> None:
    take(pool, home, *three_high_days(home), first_seq=1, quiet=True)
    judge.judge_due()
    assert ask(pool, "select state from episode") == [("active",)]
    assert pushes(pool) == []
    assert ask(pool, "select reason from episode_transition") == [("seeded",)]


def test_a_live_reading_does_not_push_what_was_opened_quietly(pool: Pool, home: Household, judge: Judge) -> None:
    take(pool, home, *three_high_days(home), first_seq=1, quiet=True)
    judge.judge_due()
    take(pool, home, home.pressure(now().replace(microsecond=0) - timedelta(minutes=1), 155, 96), first_seq=4)
    judge.judge_due()
    assert ask(pool, "select rule_id, state from episode") == [(RULE, "active")]
    assert pushes(pool) == []


def test_a_live_reading_that_completes_seeded_days_is_pushed(pool: Pool, home: Household, judge: Judge) -> None:
    *seeded, last = three_high_days(home)
    take(pool, home, *seeded, first_seq=1, quiet=True)
    judge.judge_due()
    take(pool, home, last, first_seq=3)
    judge.judge_due()
    assert pushes(pool)[0][:3] == ("patient", "inbox", 0)
    assert len(pushes(pool)) == 2


def test_a_critical_reading_is_told_at_once_with_the_emergency_number(
    pool: Pool, home: Household, judge: Judge
) -> None:
    take(pool, home, home.pressure(now().replace(microsecond=0) - timedelta(seconds=30), 192, 124), first_seq=1)
    judge.judge_due()
    assert ask(pool, "select rule_id from episode") == [("bp-critical",)]
    ((text, is_due),) = ask(pool, "select text, due_at <= now() from push where recipient = 'patient'")
    assert is_due
    assert "120" in text["zh"]["body"]
    assert "chest pain" in text["en"]["body"]


def test_an_impossible_value_opens_nothing(pool: Pool, home: Household, judge: Judge) -> None:
    take(pool, home, home.pressure(now().replace(microsecond=0) - timedelta(seconds=30), 305, 124), first_seq=1)
    judge.judge_due()
    assert ask(pool, "select count(*) from episode") == [(0,)]


def lower_the_second_day(pool: Pool, home: Household) -> None:
    """Readings of an earlier day come late: its mean was not above the threshold after all."""
    late = [home.pressure(days_ago(2, hour), 112, 70) for hour in (12, 16, 20)]
    take(pool, home, *late, first_seq=10)


def test_what_late_readings_made_untrue_is_retracted_and_nobody_hears_of_it(
    pool: Pool, home: Household, judge: Judge, doctor_id: int
) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    lower_the_second_day(pool, home)
    judge.judge_due()
    assert ask(pool, "select state from episode") == [("retracted",)]
    assert pushes(pool) == [("patient", "inbox", 0, "cancelled"), (f"user:{doctor_id}", "inbox", 0, "cancelled")]
    send(pool)
    assert ask(pool, "select count(*) from push where state = 'sent'") == [(0,)]


def test_a_doctor_who_was_told_is_told_of_the_retraction_and_the_patients_message_is_withdrawn(
    pool: Pool, home: Household, judge: Judge, doctor_id: int
) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    send(pool)
    lower_the_second_day(pool, home)
    judge.judge_due()
    send(pool)
    assert pushes(pool) == [
        ("patient", "inbox", 0, "withdrawn"),
        (f"user:{doctor_id}", "inbox", -1, "sent"),
        (f"user:{doctor_id}", "inbox", 0, "sent"),
    ]
    ((text,),) = ask(pool, "select text from push where step = -1")
    ((sentence,),) = ask(pool, "select sentence from episode")
    assert sentence["zh"] in text["zh"]["body"]
    assert text["en"]["title"].startswith("Withdrawn: ")


def test_a_message_that_is_on_its_way_counts_as_told(pool: Pool, home: Household, judge: Judge, doctor_id: int) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    ask(pool, "update push set lease_until = now() + interval '30 s' where recipient <> 'patient'")
    lower_the_second_day(pool, home)
    judge.judge_due()
    assert (f"user:{doctor_id}", "inbox", -1, "pending") in pushes(pool)
    assert (f"user:{doctor_id}", "inbox", 0, "pending") in pushes(pool), "it may be there already; it is not cancelled"
    ask(pool, "update push set lease_until = null")  # the sender died
    send(pool)
    assert (f"user:{doctor_id}", "inbox", 0, "cancelled") in pushes(pool), "and nobody sends it now"


def test_what_becomes_true_again_reopens_and_is_told_again(
    pool: Pool, home: Household, judge: Judge, doctor_id: int
) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    send(pool)
    lower_the_second_day(pool, home)
    judge.judge_due()
    send(pool)
    raising = [home.pressure(days_ago(2, hour), 199 - 20, 118) for hour in (6, 9, 14, 18, 22)]
    take(pool, home, *raising, first_seq=20)
    judge.judge_due()
    assert ask(pool, "select state, retracted_at, count(*) over () from episode where rule_id = %s", RULE) == [
        ("active", None, 1)
    ]
    mine = [step for recipient, _, step, _ in pushes(pool) if recipient == f"user:{doctor_id}"]
    assert mine == [-1, 0, 1]
    assert [row[0] for row in ask(pool, "select to_state from episode_transition order by transition_id")] == [
        "active",
        "retracted",
        "active",
    ]


def test_three_low_days_resolve_it_and_nobody_is_told(pool: Pool, home: Household, judge: Judge) -> None:
    high = [home.pressure(days_ago(days), 152, 94) for days in (6, 5, 4)]
    take(pool, home, *high, first_seq=1)
    judge.judge_due()
    told = len(pushes(pool))
    take(pool, home, *[home.pressure(days_ago(days), 118, 72) for days in (3, 2, 1)], first_seq=4)
    judge.judge_due()
    assert ask(pool, "select state, resolution, resolved_by from episode") == [("resolved", "readings", None)]
    assert len(pushes(pool)) == told


def remind(pool: Pool, home: Household, judge: Judge) -> None:
    """A week goes by."""
    ask(pool, "update push set sent_at = sent_at - interval '8 days', due_at = due_at - interval '8 days'")
    ask(pool, "update due set due_at = now() where patient_id = %s", home.patient_id)
    assert judge.judge_due() == 1


def test_the_doctor_hears_again_after_a_week_until_somebody_acknowledges(
    pool: Pool, home: Household, judge: Judge, doctor_id: int
) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    send(pool)
    remind(pool, home, judge)
    send(pool)
    assert pushes(pool) == [
        ("patient", "inbox", 0, "sent"),
        (f"user:{doctor_id}", "inbox", 0, "sent"),
        (f"user:{doctor_id}", "inbox", 1, "sent"),
    ]
    ask(pool, "update episode set state = 'acknowledged'")
    remind(pool, home, judge)
    assert len(pushes(pool)) == 3


def test_a_timer_for_the_reminder_is_set_when_the_doctor_is_told(pool: Pool, home: Household, judge: Judge) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    ((due_at,),) = ask(pool, "select due_at from due")
    ((told_at,),) = ask(pool, "select due_at from push where recipient <> 'patient'")
    assert due_at <= told_at + timedelta(days=7)


def test_a_patient_without_a_doctor_is_the_clinics(pool: Pool, judge: Judge) -> None:
    home = add_home(pool, None)
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    assert pushes(pool) == [
        ("clinic", "inbox", 0, "pending"),
        ("doctor", "inbox", 0, "undeliverable"),
        ("patient", "inbox", 0, "pending"),
    ]


def test_every_webhook_is_called_without_a_word_about_health(pool: Pool, home: Household, judge: Judge) -> None:
    with transaction(pool) as conn:
        for url in ("https://a.example/", "https://b.example/", "https://c.example/"):
            last = add_webhook(conn, url=url, secret="whsec_AAAA")
        switch_webhook(conn, last, is_on=False)
    take(pool, home, *three_high_days(home), first_seq=1)
    judge.judge_due()
    rows = ask(pool, "select recipient, text::text from push where channel = 'webhook' order by 1")
    assert [recipient for recipient, _ in rows] == ["clinic:1", "clinic:2"]
    assert not any("152" in text or "140" in text for _, text in rows)


def test_a_patient_whose_judging_breaks_waits_and_the_others_do_not(
    pool: Pool, home: Household, judge: Judge, doctor_id: int
) -> None:
    ask(
        pool,
        """insert into patient_threshold (patient_id, rule_id, version, parameters, set_by, set_at)
           values (%s, %s, 1, '{"nonsense": 1}', 'test', now())""",
        home.patient_id,
        RULE,
    )
    other = add_home(pool, doctor_id)
    for each in (home, other):
        take(pool, each, *three_high_days(each), first_seq=1)
    assert judge.judge_due() == 1
    assert ask(pool, "select distinct patient_id from episode") == [(other.patient_id,)]
    ((waits,),) = ask(
        pool, "select due_at > now() from due where reason <> 'timer' and patient_id = %s", home.patient_id
    )
    assert waits
    ask(pool, "delete from patient_threshold")
    ask(pool, "update due set due_at = now()")
    judge.judge_due()
    assert ask(pool, "select count(*) from episode") == [(2,)]


def test_what_arrives_during_a_judging_is_judged_after_it(pool: Pool, home: Household, rules: RuleSet) -> None:
    first, second, third = three_high_days(home)
    take(pool, home, first, second, first_seq=1)
    with pool.connection() as conn:
        assert judge_in(conn, home.patient_id, rules)
        take(pool, home, third, first_seq=3)
    assert ask(pool, "select count(*) from due where reason = 'reading'") == [(1,)]
    assert Judge(pool, rules).judge_due() == 1
    assert ask(pool, "select state from episode") == [("active",)]


def test_a_patient_is_judged_by_one_judge_at_a_time(pool: Pool, home: Household, rules: RuleSet) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    with pool.connection() as conn:
        assert judge_in(conn, home.patient_id, rules)
        assert not Judge(pool, rules).judge_patient(home.patient_id), "another judge has it"
    assert Judge(pool, rules).judge_due() == 0


def test_judges_in_parallel_judge_each_due_row_once(pool: Pool, rules: RuleSet, doctor_id: int) -> None:
    homes = [add_home(pool, doctor_id) for _ in range(12)]
    for home in homes:
        take(pool, home, *three_high_days(home), first_seq=1)
    judged: list[int] = []
    start = threading.Barrier(3)

    def work() -> None:
        start.wait()
        while count := Judge(pool, rules).judge_due():
            judged.append(count)

    judges = [threading.Thread(target=work) for _ in range(3)]
    for each in judges:
        each.start()
    for each in judges:
        each.join()
    assert sum(judged) == 12
    assert ask(pool, "select count(*), count(distinct patient_id) from episode") == [(12, 12)]
    assert ask(pool, "select count(*) from push") == [(24,)]
    assert ask(pool, "select count(*) from episode_transition") == [(12,)]
    assert ask(pool, "select count(*) from due where due_at <= now()") == [(0,)]


KILLED_JUDGE = """
    import sys
    from server.judge import judge_in
    from server.rules.load import load_catalog
    from server.store.postgres import open_pool
    with open_pool(sys.argv[1]) as pool, pool.connection() as conn:
        assert judge_in(conn, int(sys.argv[2]), load_catalog())
        print("written, not committed", flush=True)
        sys.stdin.read()
"""


def test_a_judge_killed_before_its_commit_leaves_everything_for_another(
    pool: Pool, home: Household, judge: Judge, database_url: str
) -> None:
    take(pool, home, *three_high_days(home), first_seq=1)
    victim = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED_JUDGE), database_url, str(home.patient_id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with victim:
        assert victim.stdout is not None
        while b"written" not in victim.stdout.readline():
            assert victim.poll() is None
        victim.kill()
    assert ask(pool, "select count(*) from episode") == [(0,)]
    while not judge.judge_due():  # until PostgreSQL has noticed and rolled back
        pass
    assert ask(pool, "select state from episode") == [("active",)]
    assert len(pushes(pool)) == 2


def test_a_commit_of_intake_rings_the_judges_and_their_commit_the_senders(
    pool: Pool, home: Household, rules: RuleSet, database_url: str
) -> None:
    stop, due, push = threading.Event(), Bell(database_url, "due"), Bell(database_url, "push")
    assert push.wait(0)  # listening from here on
    working = threading.Thread(target=Judge(pool, rules).run, args=(stop, due))
    working.start()
    try:
        take(pool, home, *three_high_days(home), first_seq=1)
        assert push.wait(30)
    finally:
        stop.set()
        working.join()
        due.close()
        push.close()
    assert len(pushes(pool)) == 2


def test_equal_histories_have_equal_episodes_in_any_order_of_arrival(pool: Pool, judge: Judge, doctor_id: int) -> None:
    homes = [add_home(pool, doctor_id) for _ in range(3)]
    for home, order in zip(homes, ((0, 1, 2), (2, 1, 0), (1, 2, 0)), strict=True):
        readings = three_high_days(home)
        for seq, index in enumerate(order, start=1):
            take(pool, home, readings[index], first_seq=seq)
            judge.judge_due()
    found = ask(pool, "select rule_id, state, first_day, last_day, opened_at, started_at from episode")
    assert len(found) == 3
    assert len(set(found)) == 1
