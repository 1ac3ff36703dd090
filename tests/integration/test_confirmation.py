"""A critical value that nobody repeats, or that a repeat or the patient confirms, is told once more, on a real PostgreSQL."""

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from wards import MINUTE, Ward, ask, make_ward

from server.clock import now
from server.intake import Intake
from server.judge import Judge, judge_in
from server.people.corrections import Correction, Reason, void
from server.people.decisions import acknowledge
from server.push.dispatch import Dispatcher
from server.push.inbox import Inbox
from server.rules.load import load_catalog
from server.store.postgres import Pool, transaction
from server.store.symptoms import note_answer

SECOND = timedelta(seconds=1)


@pytest.fixture
def ward(pool: Pool) -> Ward:
    with transaction(pool) as conn:
        return make_ward(conn, pool)


def let_pass(ward: Ward, span: timedelta) -> None:
    """So long ago has become everything that was written."""
    ward.let_pass(span)
    for table, columns in (
        ("due", ("due_at", "since")),
        ("reading", ("measured_at", "received_at")),
        ("episode", ("started_at", "opened_at", "resolved_at", "acknowledged_at")),
    ):
        moved = ", ".join(f"{column} = {column} - %(span)s" for column in columns)
        ask(ward.pool, f"update {table} set {moved}", span=span)


def judge(ward: Ward) -> int:
    return Judge(ward.pool, load_catalog()).judge_due()


def told(ward: Ward, *steps: int) -> Sequence[tuple[str, int]]:
    return [(who, step) for who, step in ward.told() if step in steps]


def wait_for_the_deadline(ward: Ward) -> None:
    """A critical reading of just now has been told, and five minutes later nobody has repeated it."""
    ward.measure(192, 124, ago=10 * SECOND)
    ward.send()
    let_pass(ward, 5 * MINUTE)
    assert judge(ward) == 1, "the time to repeat is over"


def priority_of(ward: Ward) -> tuple[str, str]:
    ((state, priority),) = ask(ward.pool, "select state, priority from episode")
    return state, priority


def test_what_nobody_repeats_is_told_again_and_the_next_in_line_three_minutes_later(ward: Ward) -> None:
    wait_for_the_deadline(ward)
    ward.send()
    assert ward.told() == [("clinic's", 0), ("patient", 0), ("doctor's", 0), ("clinic's", 3), ("doctor's", 3)]
    assert ward.pushes("pending") == [
        ("nurse's", 4, "escalation", "pending"),
        ("clinic", 5, "escalation", "pending"),
        ("clinic's", 5, "escalation", "pending"),
    ]
    let_pass(ward, 3 * MINUTE)
    ward.send()
    assert told(ward, 4) == [("nurse's", 4)]
    let_pass(ward, 3 * MINUTE)
    ward.send()
    assert told(ward, 5) == [("clinic", 5), ("clinic's", 5)]
    assert {row[3] for row in ward.pushes() if row[1] in (1, 2)} == {"cancelled"}, "the steps of what was unconfirmed"
    ((text, why),) = ask(
        ward.pool,
        """select p.text, e.sentence from push p join episode e using (episode_id)
           where p.step = 3 and p.channel = 'inbox'""",
    )
    assert text["en"]["title"] == "Now urgent: Critical blood pressure"
    assert text["en"]["body"] == why["en"]
    assert "not repeated within 5 minutes" in why["en"]
    assert ask(ward.pool, "select from_state, to_state, reason from episode_transition order by transition_id") == [
        (None, "active", "found"),
        ("active", "active", "raised"),
    ]


def test_it_is_told_once_however_often_it_is_judged(ward: Ward) -> None:
    wait_for_the_deadline(ward)
    before = ward.pushes()
    for _ in range(3):
        ask(
            ward.pool,
            """insert into due (patient_id, due_at, since, reason)
               select patient_id, now(), now(), 'test' from patient where not is_watchdog""",
        )
        assert judge(ward) == 1
    assert ward.pushes() == before


KILLED = """
    import sys
    from server.judge import judge_in
    from server.rules.load import load_catalog
    from server.store.postgres import open_pool
    with open_pool(sys.argv[1]) as pool, pool.connection() as conn:
        assert judge_in(conn, int(sys.argv[2]), load_catalog())
        print("written, not committed", flush=True)
        sys.stdin.read()
"""


def test_a_judge_that_is_killed_while_it_raises_leaves_it_to_another(ward: Ward, database_url: str) -> None:
    ward.measure(192, 124, ago=10 * SECOND)
    ward.send()
    let_pass(ward, 5 * MINUTE)
    command = [sys.executable, "-c", textwrap.dedent(KILLED), database_url, str(ward.home.patient_id)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        while b"written" not in victim.stdout.readline():
            assert victim.poll() is None
        victim.kill()
    assert priority_of(ward) == ("active", "medium")
    while not judge(ward):  # until PostgreSQL has noticed and rolled back
        pass
    ward.send()
    assert told(ward, 3) == [("clinic's", 3), ("doctor's", 3)]
    assert priority_of(ward) == ("active", "high")


def test_a_repeat_confirms_at_once(ward: Ward) -> None:
    ward.measure(192, 124, ago=2 * MINUTE)
    ward.send()
    ward.measure(188, 120, ago=10 * SECOND, seq=2)
    ward.send()
    assert priority_of(ward) == ("active", "high")
    assert told(ward, 3) == [("clinic's", 3), ("doctor's", 3)]


def test_a_repeat_below_in_time_is_told_to_nobody(ward: Ward) -> None:
    ward.measure(192, 124, ago=2 * MINUTE)
    ward.send()
    ward.measure(150, 90, ago=10 * SECOND, seq=2)
    let_pass(ward, 5 * MINUTE)
    judge(ward)
    ward.send()
    assert priority_of(ward) == ("active", "low")
    assert ward.told() == [("clinic's", 0), ("patient", 0), ("doctor's", 0)]
    assert ward.pushes("pending") == []


def test_who_acknowledged_it_unconfirmed_is_told_that_it_is_urgent(ward: Ward) -> None:
    ward.measure(192, 124, ago=10 * SECOND)
    ward.send()
    acknowledge(ward.pool, ward.decision())
    assert ward.pushes("pending") == []
    let_pass(ward, 5 * MINUTE)
    judge(ward)
    ward.send()
    assert priority_of(ward) == ("active", "high")
    assert ask(ward.pool, "select acknowledged_at, acknowledged_by from episode") == [(None, None)]
    assert told(ward, 3) == [("clinic's", 3), ("doctor's", 3)]
    acknowledge(ward.pool, ward.decision())
    let_pass(ward, 10 * MINUTE)
    judge(ward)
    ward.send()
    assert told(ward, 4, 5) == [], "this acknowledgement holds"
    assert priority_of(ward) == ("acknowledged", "high")


def test_a_yes_to_the_symptoms_is_judged_at_once(ward: Ward) -> None:
    ward.measure(192, 124, ago=10 * SECOND)
    ward.send()
    with transaction(ward.pool) as conn:
        note_answer(conn, ward.home.patient_id, [], now=now())
    assert judge(ward) == 1
    assert priority_of(ward) == ("active", "medium"), "a no changes nothing"
    with transaction(ward.pool) as conn:
        note_answer(conn, ward.home.patient_id, ["chest_pain"], now=now())
    assert judge(ward) == 1
    ward.send()
    assert priority_of(ward) == ("active", "high")
    assert told(ward, 3) == [("clinic's", 3), ("doctor's", 3)]
    assert "with symptoms" in ask(ward.pool, "select sentence ->> 'en' from episode")[0][0]


def test_what_comes_too_late_to_be_news_is_raised_without_a_word(ward: Ward) -> None:
    wait = timedelta(hours=25)
    ward.measure(192, 124, ago=10 * SECOND)
    ward.send()
    let_pass(ward, wait)  # and no judge was running
    judge(ward)
    ward.send()
    assert priority_of(ward) == ("active", "high")
    assert not any(kind == "opening" for _, step, kind, _ in ward.pushes() if step > 0)
    assert told(ward, 3, 4, 5) == []


def test_seeded_history_is_raised_without_a_word(ward: Ward) -> None:
    reading = ward.home.pressure(now().replace(microsecond=0) - 10 * SECOND, 192, 124)
    Intake(ward.pool).take(ward.home.envelope(reading), topic_gateway=ward.home.gateway_id, quiet=True)
    judge(ward)
    let_pass(ward, 5 * MINUTE)
    assert judge(ward) == 1
    assert priority_of(ward) == ("active", "high")
    assert ward.pushes() == []


def test_an_opening_that_was_not_sent_yet_is_sent_before_the_raise(ward: Ward) -> None:
    ward.measure(192, 124, ago=10 * SECOND)
    let_pass(ward, 5 * MINUTE)
    judge(ward)
    Dispatcher(ward.pool, Inbox()).send_due()
    assert ward.told() == [("patient", 0), ("doctor's", 0), ("doctor's", 3)]


def test_the_transaction_that_raises_tells(ward: Ward) -> None:
    ward.measure(192, 124, ago=10 * SECOND)
    let_pass(ward, 5 * MINUTE)
    with ward.pool.connection() as conn:
        assert judge_in(conn, ward.home.patient_id, load_catalog())
        conn.rollback()
    assert priority_of(ward) == ("active", "medium")
    assert {step for _, step, _, _ in ward.pushes()} == {0, 1, 2}


# -- what confirmed it is taken away -----------------------------------------------------------------------------------


@pytest.fixture
def confirmed(ward: Ward) -> tuple[UUID, UUID]:
    """A critical reading and the repeat that has made it urgent; everybody has been told."""
    ward.measure(192, 124, ago=2 * MINUTE)
    ward.send()
    ward.measure(188, 120, ago=10 * SECOND, seq=2)
    ward.send()
    assert priority_of(ward) == ("active", "high")
    first, repeat = (row[0] for row in ask(ward.pool, "select reading_id from reading order by measured_at"))
    return first, repeat


def take_away(ward: Ward, reading_id: UUID) -> None:
    correction = Correction(
        patient_id=ward.home.patient_id,
        reading_id=reading_id,
        version=1,
        reason=Reason.BAD_MEASUREMENT,
        note="",
        user_id=ward.doctor_id,
        role="doctor",
        now=now(),
    )
    void(ward.pool, correction)
    assert judge(ward) == 1
    ward.send()


@pytest.mark.parametrize("taken", [0, 1], ids=["first", "repeat"])
def test_what_is_left_of_a_confirmed_alert_is_unconfirmed_and_waits_for_a_repeat_of_its_own(
    ward: Ward, confirmed: tuple[UUID, UUID], taken: int
) -> None:
    episode_id = ward.episode_id
    take_away(ward, confirmed[taken])
    assert priority_of(ward) == ("active", "medium")
    assert ward.episode_id == episode_id, "it is the same alert"
    assert told(ward, 3) == [("clinic's", 3), ("doctor's", 3)]
    urgent = {step for _, step, _, state in ward.pushes() if state == "pending"}

    let_pass(ward, 5 * MINUTE)
    assert judge(ward) == 1
    assert priority_of(ward) == ("active", "high"), "nobody has repeated what is left"
    Dispatcher(ward.pool, Inbox()).send_due()
    raised = ask(
        ward.pool,
        """select count(*) from push where channel = 'inbox' and kind = 'opening' and state = 'sent'
           and text -> 'en' ->> 'title' like 'Now urgent%%'""",
    )
    assert raised == [(2,)], "confirmed, and now not repeated"
    assert not urgent & {step for _, step, _, state in ward.pushes() if state == "pending"}, "no old step is left"


def test_a_confirmed_alert_of_which_nothing_is_left_is_taken_back(ward: Ward, confirmed: tuple[UUID, UUID]) -> None:
    for reading_id in confirmed:
        take_away(ward, reading_id)
    assert ask(ward.pool, "select state from episode") == [("retracted",)]
    assert ward.pushes("pending") == []
    assert {who for who, step, kind, state in ward.pushes("sent") if kind == "retraction"} == {"doctor's", "clinic's"}
