"""An alert in the hands of people, on a real PostgreSQL: it sleeps, wakes, is silent, is spoken for, and its clock runs out."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from wards import MINUTE, Ward, alert, ask, let_pass, make_ward

from server.clock import now
from server.judge import Judge
from server.people import decisions, silences
from server.people.decisions import Decision, Resolution
from server.people.errors import NothingToUndoError
from server.people.rule_texts import texts_of
from server.people.silences import Silencer
from server.rules.load import load_catalog
from server.store import telling, worklist
from server.store.alarms import open_alarms
from server.store.postgres import Pool, transaction
from server.store.symptoms import note_answer
from vitals.errors import MalformedError

SECOND = timedelta(seconds=1)
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@pytest.fixture
def ward(pool: Pool) -> Ward:
    with transaction(pool) as conn:
        return make_ward(conn, pool)


def judge(ward: Ward) -> None:
    Judge(ward.pool, load_catalog()).judge_due()


def run(ward: Ward, span: timedelta) -> None:
    """The house works on for that long, and looks once a minute."""
    for _ in range(span // MINUTE):
        let_pass(ward, MINUTE)
        judge(ward)
        ward.send()


def sugar(ward: Ward, mmol_l: float, *, seq: int, ago: timedelta = 10 * SECOND) -> None:
    ward.take(ward.home.glucose(now().replace(microsecond=0) - ago, mmol_l * 18.0182), seq=seq)


def decision(ward: Ward, rule_id: str, **changes: Any) -> Decision:
    ((episode_id, version),) = ask(
        ward.pool, "select episode_id, version from episode where rule_id = %(rule_id)s", rule_id=rule_id
    )
    facts = {"episode_id": episode_id, "version": version, "user_id": ward.doctor_id, "now": now()}
    return Decision(**facts | changes)


def told_of(ward: Ward, rule_id: str, who: str = "") -> list[tuple[str, str, str | None]]:
    """`(kind, state, why)` of what a clinician, or `who`, was to be told of it, in order."""
    return ask(
        ward.pool,
        """select s.kind, s.state, s.why from push s join episode e using (episode_id)
           where e.rule_id = %(rule_id)s and s.channel = 'inbox'
             and (s.recipient = %(who)s or (%(who)s = '' and s.recipient = %(doctor)s)) order by s.step""",
        rule_id=rule_id,
        who=who,
        doctor=f"user:{ward.doctor_id}",
    )


def silencer(ward: Ward) -> Silencer:
    return Silencer(user_id=ward.doctor_id, role="doctor", now=now())


# -- snoozing ------------------------------------------------------------------------------------------------------------


def test_a_snoozed_alert_tells_nobody_until_its_time_and_is_told_again_then(ward: Ward) -> None:
    sugar(ward, 3.5, seq=1)
    ward.send()
    decisions.snooze(ward.pool, decision(ward, "glucose-low-3-9"), until=now() + 3 * HOUR)
    assert alert(ward, "glucose-low-3-9")["state"] == "snoozed"
    before = ward.told()
    let_pass(ward, 3 * HOUR - MINUTE)
    judge(ward)
    ward.send()
    assert ward.told() == before
    let_pass(ward, MINUTE)
    judge(ward)
    ward.send()
    found = alert(ward, "glucose-low-3-9")
    assert (found["state"], found["acknowledged_by"], found["snoozed_until"]) == ("active", None, None)
    assert told_of(ward, "glucose-low-3-9")[-1] == ("opening", "sent", None)
    assert [row[:3] for row in ward.pushes("pending")] == [
        ("nurse's", 4, "escalation"),
        ("clinic", 5, "escalation"),
        ("clinic's", 5, "escalation"),
    ], "and the next in line follow anew"
    assert ask(ward.pool, "select reason from episode_transition order by transition_id")[-1] == ("snooze_over",)


def test_a_snoozed_alert_wakes_on_a_worse_value_and_on_no_other(ward: Ward) -> None:
    sugar(ward, 3.5, seq=1, ago=5 * MINUTE)
    decisions.snooze(ward.pool, decision(ward, "glucose-low-3-9"), until=now() + 12 * HOUR, or_worse=True)
    sugar(ward, 3.6, seq=2, ago=3 * MINUTE)
    assert alert(ward, "glucose-low-3-9")["state"] == "snoozed"
    sugar(ward, 3.3, seq=3)
    assert alert(ward, "glucose-low-3-9")["state"] == "active"
    assert ask(ward.pool, "select reason from episode_transition order by transition_id")[-1] == ("worse",)


def test_a_critical_value_that_sleeps_wakes_on_any_new_one_and_its_clock_starts_anew(ward: Ward) -> None:
    ward.measure(195, 124, ago=3 * MINUTE, seq=1)
    decisions.snooze(ward.pool, decision(ward, "bp-critical"), until=now() + 20 * HOUR, or_worse=False)
    assert alert(ward, "bp-critical")["answered_at"] is not None
    ward.measure(181, 110, ago=10 * SECOND, seq=2)
    found = alert(ward, "bp-critical")
    assert (found["state"], found["priority"], found["answered_at"]) == ("active", "high", None)
    assert told_of(ward, "bp-critical")[-1][0] == "opening"


def test_an_urgent_alert_sleeps_for_a_day_at_most(ward: Ward) -> None:
    ward.measure(195, 124)
    for span in (25 * HOUR, -MINUTE):
        with pytest.raises(MalformedError):
            decisions.snooze(ward.pool, decision(ward, "bp-critical"), until=now() + span)
    decisions.snooze(ward.pool, decision(ward, "bp-critical"), until=now() + 23 * HOUR)


# -- undoing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["acknowledge", "snooze", "resolve", "false", "rate", "note"])
def test_undoing_restores_the_alert_and_its_messages_exactly(ward: Ward, act: str) -> None:
    sugar(ward, 3.5, seq=1)
    ward.send()
    before, pushes = alert(ward, "glucose-low-3-9"), ward.pushes()
    asked = decision(ward, "glucose-low-3-9")
    {
        "acknowledge": lambda: decisions.acknowledge(ward.pool, asked),
        "snooze": lambda: decisions.snooze(ward.pool, asked, until=asked.now + HOUR),
        "resolve": lambda: decisions.resolve(ward.pool, asked, resolution=Resolution.ADVISED, is_useful=True),
        "false": lambda: decisions.resolve(ward.pool, asked, resolution=Resolution.FALSE_READING, note="loose"),
        "rate": lambda: decisions.rate(ward.pool, asked, is_useful=False),
        "note": lambda: decisions.note(ward.pool, asked, "on the phone"),
    }[act]()
    ward.send()
    undone = decisions.undo(ward.pool, decision(ward, "glucose-low-3-9"))
    judge(ward)
    after = alert(ward, "glucose-low-3-9")
    assert after | {"version": 0} == before | {"version": 0}
    assert after["version"] == before["version"] + 2 == undone.version
    assert ward.pushes() == pushes
    assert ask(ward.pool, "select reason from episode_transition order by transition_id")[-1] == ("undone",)
    with pytest.raises(NothingToUndoError):
        decisions.undo(ward.pool, decision(ward, "glucose-low-3-9"))


def test_only_ones_own_last_decision_is_undone_and_only_for_ten_seconds(ward: Ward) -> None:
    sugar(ward, 3.5, seq=1)
    decisions.acknowledge(ward.pool, decision(ward, "glucose-low-3-9"))
    for changes in ({"user_id": ward.nurse_id}, {"now": now() + 11 * SECOND}):
        with pytest.raises(NothingToUndoError):
            decisions.undo(ward.pool, decision(ward, "glucose-low-3-9", **changes))
    decisions.note(ward.pool, decision(ward, "glucose-low-3-9", user_id=ward.nurse_id), "I call")
    with pytest.raises(NothingToUndoError):
        decisions.undo(ward.pool, decision(ward, "glucose-low-3-9"))


def test_what_readings_have_changed_meanwhile_is_not_undone(ward: Ward) -> None:
    ward.measure(192, 124, ago=2 * MINUTE, seq=1)
    decisions.acknowledge(ward.pool, decision(ward, "bp-critical"))
    ward.measure(193, 124, ago=10 * SECOND, seq=2)
    assert alert(ward, "bp-critical")["state"] == "active", "confirmed: nobody has acknowledged this"
    with pytest.raises(NothingToUndoError):
        decisions.undo(ward.pool, decision(ward, "bp-critical"))


# -- silences and inhibition ---------------------------------------------------------------------------------------------


def test_a_silence_mutes_clinicians_says_so_and_what_is_still_open_is_told_when_it_ends(ward: Ward) -> None:
    silence = silences.add(
        ward.pool,
        silencer(ward),
        ward.home.patient_id,
        rule_id="glucose-low-3-9",
        until=now() + 2 * HOUR,
        reason="the new insulin is being set",
        rules=texts_of(load_catalog()),
    )
    assert (silence.reason, silence.made_by) == ("the new insulin is being set", "lin")
    sugar(ward, 3.5, seq=1)
    ward.send()
    assert told_of(ward, "glucose-low-3-9") == [("opening", "cancelled", "silenced")]
    assert told_of(ward, "glucose-low-3-9", "patient") == [("opening", "sent", None)]
    let_pass(ward, 2 * HOUR + SECOND)
    judge(ward)
    ward.send()
    assert told_of(ward, "glucose-low-3-9") == [("opening", "cancelled", "silenced"), ("opening", "sent", None)]
    judge(ward)
    assert len(told_of(ward, "glucose-low-3-9")) == 2


def test_a_silence_of_all_rules_leaves_the_urgent_ones_and_ends_early_by_a_person(ward: Ward) -> None:
    sugar(ward, 3.5, seq=1, ago=3 * MINUTE)
    rules = texts_of(load_catalog())
    silence = silences.add(
        ward.pool, silencer(ward), ward.home.patient_id, rule_id=None, until=now() + DAY, reason="travels", rules=rules
    )
    assert told_of(ward, "glucose-low-3-9") == [("opening", "cancelled", "silenced")], "what was still to be told, too"
    ward.measure(192, 124, seq=2)
    ward.send()
    assert told_of(ward, "bp-critical") == [("opening", "sent", None)]
    let_pass(ward, 6 * MINUTE)
    silences.end(ward.pool, silencer(ward), silence.silence_id, version=silence.version)
    judge(ward)
    ward.send()
    assert told_of(ward, "glucose-low-3-9")[-1] == ("opening", "sent", None)


@pytest.mark.parametrize(
    ("rule_id", "span", "reason"),
    [
        ("bp-critical", 25 * HOUR, "known"),
        ("glucose-low-3-9", 91 * DAY, "known"),
        ("glucose-low-3-9", -MINUTE, "known"),
        ("glucose-low-3-9", HOUR, "  "),
        ("no-such-rule", HOUR, "known"),
    ],
)
def test_a_silence_without_reason_or_end_or_for_too_long_is_refused(
    ward: Ward, rule_id: str, span: timedelta, reason: str
) -> None:
    with pytest.raises(MalformedError):
        silences.add(
            ward.pool,
            silencer(ward),
            ward.home.patient_id,
            rule_id=rule_id,
            until=now() + span,
            reason=reason,
            rules=texts_of(load_catalog()),
        )


def test_below_3_0_speaks_for_below_3_9_and_when_it_is_closed_the_lesser_is_told(ward: Ward) -> None:
    sugar(ward, 2.6, seq=1)
    ward.send()
    assert alert(ward, "glucose-low-3-9")["inhibited_by"] == alert(ward, "glucose-low-3-0")["episode_id"]
    assert told_of(ward, "glucose-low-3-0") == [("opening", "sent", None)]
    assert told_of(ward, "glucose-low-3-9") == [("opening", "cancelled", "inhibited")]
    assert told_of(ward, "glucose-low-3-9", "patient") == [("opening", "cancelled", "inhibited")]
    let_pass(ward, 6 * MINUTE)
    decisions.resolve(ward.pool, decision(ward, "glucose-low-3-0"), resolution=Resolution.REACHED)
    judge(ward)
    ward.send()
    assert alert(ward, "glucose-low-3-9")["inhibited_by"] is None
    assert told_of(ward, "glucose-low-3-9")[-1] == ("opening", "sent", None)


def test_what_was_still_to_be_told_of_the_lesser_is_not_once_the_greater_speaks(ward: Ward) -> None:
    sugar(ward, 3.5, seq=1, ago=4 * MINUTE)
    ward.send()
    sugar(ward, 2.6, seq=2)
    ((states,),) = ask(
        ward.pool,
        """select array_agg(distinct s.state || ' ' || coalesce(s.why, '')) from push s join episode e using (episode_id)
           where e.rule_id = 'glucose-low-3-9' and s.kind = 'escalation'""",
    )
    assert states == ["cancelled inhibited"]


# -- the clock of an urgent alert ----------------------------------------------------------------------------------------


def test_nobody_decides_about_a_critical_pressure_and_everybody_is_told_in_time(ward: Ward) -> None:
    """Clinical 1.5, minute by minute, with a house that looks once a minute."""
    ward.measure(192, 124, ago=5 * SECOND)
    ward.send()
    assert alert(ward, "bp-critical")["priority"] == "medium", "told as unconfirmed within the first look"
    run(ward, 5 * MINUTE)
    assert alert(ward, "bp-critical")["priority"] == "high", "not repeated within five minutes"
    run(ward, 3 * MINUTE)
    assert told_of(ward, "bp-critical", f"user:{ward.nurse_id}")[-1] == ("escalation", "sent", None)
    run(ward, MINUTE)
    assert told_of(ward, "bp-critical", "clinic")[-1] == ("escalation", "sent", None), (
        "a minute before the ten are over"
    )
    assert ask(ward.pool, "select count(*) from sla_breach") == [(0,)]
    run(ward, MINUTE)
    ((span, noticed),) = ask(ward.pool, "select answer_by - known_at, noticed_at >= answer_by from sla_breach")
    assert (span, noticed) == (10 * MINUTE, True)
    assert told_of(ward, "bp-critical", "clinic")[-1] == ("breach", "sent", None)
    assert told_of(ward, "bp-critical")[-1] == ("breach", "sent", None)
    with transaction(ward.pool) as conn:
        assert [each.kind for each in open_alarms(conn)] == ["not_answered"]
    assert ask(ward.pool, "select actor from audit_entry where act = 'alert.not_answered'") == [("server:judge",)]
    run(ward, 3 * MINUTE)
    assert ask(ward.pool, "select count(*) from sla_breach") == [(1,)]


@pytest.mark.parametrize("act", ["resolve", "snooze", "note"])
def test_a_decision_on_record_in_time_is_no_breach_and_says_who_what_and_after_how_long(ward: Ward, act: str) -> None:
    sugar(ward, 2.5, seq=1)
    decisions.acknowledge(ward.pool, decision(ward, "glucose-low-3-0"))
    assert alert(ward, "glucose-low-3-0")["answered_at"] is None, "to have it is not to have decided"
    let_pass(ward, 9 * MINUTE)
    asked = decision(ward, "glucose-low-3-0")
    {
        "resolve": lambda: decisions.resolve(ward.pool, asked, resolution=Resolution.REACHED),
        "snooze": lambda: decisions.snooze(ward.pool, asked, until=asked.now + HOUR),
        "note": lambda: decisions.note(ward.pool, asked, "juice taken, son is there"),
    }[act]()
    run(ward, 2 * MINUTE)
    assert ask(ward.pool, "select count(*) from sla_breach") == [(0,)]
    ((after, by),) = ask(
        ward.pool, "select answered_at - known_at, answered_by from episode where rule_id = 'glucose-low-3-0'"
    )
    assert 9 * MINUTE <= after < 10 * MINUTE
    assert by == ward.doctor_id


def test_who_has_it_and_does_not_decide_is_told_when_the_time_is_over(ward: Ward) -> None:
    sugar(ward, 2.5, seq=1)
    decisions.acknowledge(ward.pool, decision(ward, "glucose-low-3-0"))
    let_pass(ward, 10 * MINUTE)
    judge(ward)
    ward.send()
    assert told_of(ward, "glucose-low-3-0")[-1] == ("breach", "sent", None)


def test_a_repeat_below_stops_the_clock(ward: Ward) -> None:
    ward.measure(192, 124, ago=2 * MINUTE, seq=1)
    ward.measure(150, 90, ago=10 * SECOND, seq=2)
    let_pass(ward, 11 * MINUTE)
    judge(ward)
    assert ask(ward.pool, "select count(*) from sla_breach") == [(0,)]


def test_symptoms_make_it_red_at_once_and_the_clock_goes_on(ward: Ward) -> None:
    ward.measure(192, 124, ago=10 * SECOND)
    answer_by = alert(ward, "bp-critical")["answer_by"]
    with transaction(ward.pool) as conn:
        note_answer(conn, ward.home.patient_id, ["chest_pain"], now=now())
    judge(ward)
    found = alert(ward, "bp-critical")
    assert (found["priority"], found["answer_by"]) == ("high", answer_by)


def test_what_arrives_a_day_late_is_reviewed_and_not_red(ward: Ward) -> None:
    """The gateway could not reach the server: no clock, nobody is woken, and the next in line has half an hour."""
    ward.measure(192, 124, ago=30 * HOUR)
    assert alert(ward, "bp-critical")["answer_by"] is None
    assert ask(ward.pool, "select distinct is_urgent from push") == [(False,)]
    assert ask(ward.pool, "select due_at - created_at > interval '29 minutes' from push where step = 1") == [(True,)]


# -- grouping and quiet hours --------------------------------------------------------------------------------------------


def late(ward: Ward, reading: Any, *, seq: int) -> None:
    """A meter that was read days later; the alert is a task, not a hurry."""
    ward.take(msgspec.structs.replace(reading, received_at=now()), seq=seq)


def inbox(ward: Ward) -> list[tuple[str, int]]:
    """`(title, how many others)` of each message in the doctor's inbox, the oldest first."""
    with transaction(ward.pool) as conn:
        messages = worklist.list_inbox(conn, user_id=ward.doctor_id, limit=50)
    return [(each.text["en"]["title"], len(each.others)) for each in reversed(messages)]


def test_what_is_to_be_told_of_a_patient_goes_as_one_and_the_next_waits_five_minutes(ward: Ward) -> None:
    two_days_ago = now().replace(microsecond=0) - 2 * DAY
    late(ward, ward.home.glucose(two_days_ago, 2.5 * 18.0182), seq=1)
    late(ward, ward.home.pressure(two_days_ago, 192, 124), seq=2)
    ward.send()
    assert [others for _, others in inbox(ward)] == [1], "two alerts, one message"
    assert ask(
        ward.pool, "select count(*) from push where state = 'sent' and recipient = %(who)s", who=doctors(ward)
    ) == [(2,)], "in the ledger both are told"
    sugar(ward, 3.5, seq=3)
    ward.send()
    assert told_of(ward, "glucose-low-3-9") == [("opening", "pending", "grouped")]
    ward.measure(192, 124, seq=4)
    ward.send()
    assert told_of(ward, "bp-critical") == [("opening", "sent", None)], "urgent ones wait for nobody"
    let_pass(ward, 5 * MINUTE)
    ward.send()
    assert told_of(ward, "glucose-low-3-9")[-1][:2] == ("opening", "sent")


def doctors(ward: Ward) -> str:
    return f"user:{ward.doctor_id}"


def test_in_quiet_hours_only_what_is_urgent_is_told_and_the_rest_when_they_end_unless_moot(ward: Ward) -> None:
    wall = now().astimezone(ZoneInfo("Asia/Shanghai"))
    begins, ends = (wall - HOUR).time().replace(microsecond=0), (wall + HOUR).time().replace(microsecond=0)
    with transaction(ward.pool) as conn:
        telling.set_quiet_hours(conn, "clinicians", (begins, ends), set_by="test", now=now())
        telling.set_quiet_hours(conn, "patients", (begins, ends), set_by="test", now=now())
    sugar(ward, 3.5, seq=1, ago=3 * MINUTE)
    ward.measure(192, 124, seq=2)
    ward.send()
    assert told_of(ward, "bp-critical") == [("opening", "sent", None)]
    assert told_of(ward, "glucose-low-3-9") == [("opening", "pending", "quiet_hours")]
    assert told_of(ward, "glucose-low-3-9", "patient") == [("opening", "pending", "quiet_hours")]
    ((ladder,),) = ask(
        ward.pool,
        """select min(s.due_at) from push s join episode e using (episode_id)
           where e.rule_id = 'glucose-low-3-9' and s.kind = 'escalation'""",
    )
    assert ladder >= now() + 80 * MINUTE, "the next in line is counted from when the doctor hears of it"
    let_pass(ward, HOUR)
    ward.send()
    assert told_of(ward, "glucose-low-3-9")[0][:2] == ("opening", "sent")


def test_what_waits_for_the_morning_and_was_not_so_is_never_told(ward: Ward) -> None:
    wall = now().astimezone(ZoneInfo("Asia/Shanghai"))
    hours = ((wall - HOUR).time().replace(microsecond=0), (wall + HOUR).time().replace(microsecond=0))
    with transaction(ward.pool) as conn:
        telling.set_quiet_hours(conn, doctors(ward), hours, set_by="test", now=now())
    sugar(ward, 3.5, seq=1)
    decisions.resolve(ward.pool, decision(ward, "glucose-low-3-9"), resolution=Resolution.METER_PROBLEM)
    let_pass(ward, 2 * HOUR)
    ward.send()
    assert told_of(ward, "glucose-low-3-9") == [("opening", "cancelled", "decided")]
