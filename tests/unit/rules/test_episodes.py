"""What a judging does to stored episodes: identity, merge, retraction, a clinician's word, changed thresholds."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server.rules.episodes import RAISED, Change, Episode, Finding, Verdict, reconcile, view_from
from server.rules.rehearsal import episode_of

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, 7, tzinfo=UTC)
NOW = START + 3 * DAY


def finding(first: int = 1, last: int = 3, **changes: Any) -> Finding:
    """An episode of the three-day rule from day `first` to day `last` of March."""
    facts = Finding(
        rule_id="bp",
        rule_version=1,
        threshold_version=0,
        state="active",
        priority="low",
        first_day=date(2026, 3, first),
        last_day=date(2026, 3, last),
        started_at=START + (first - 1) * DAY,
        opened_at=START + (last - 1) * DAY,
        deliver_at=START + (last - 1) * DAY,
        resolved_at=None,
        verdict=Verdict(numbers={"days": [first, last]}, sentence={"en": "", "zh": ""}),
        tell=("patient", "doctor"),
        tell_late=(),
        fresh_until=START + (last + 6) * DAY,
        newest_at=START + (last - 1) * DAY - timedelta(hours=4),
    )
    return replace(facts, **changes)


def stored(found: Finding, number: int = 1, **changes: Any) -> Episode:
    return replace(episode_of(found, UUID(int=number)), **changes)


def test_what_is_found_first_opens_and_tells() -> None:
    (opened,) = reconcile([], [finding()], now=NOW)
    assert opened.change is Change.OPEN
    assert opened.episode_id is None
    assert opened.tell == ("patient", "doctor")
    assert opened.tell_at == NOW


def test_nobody_is_told_before_the_hour_of_delivery() -> None:
    (opened,) = reconcile([], [finding(deliver_at=NOW + timedelta(hours=5))], now=NOW)
    assert opened.tell_at == NOW + timedelta(hours=5)


def test_what_is_pending_is_not_an_episode() -> None:
    assert reconcile([], [finding(state="pending")], now=NOW) == ()


def test_the_same_again_changes_nothing() -> None:
    found = finding()
    assert reconcile([stored(found)], [found], now=NOW) == ()
    assert reconcile([stored(found, state="acknowledged")], [found], now=NOW) == ()


def test_a_further_day_updates_without_a_word() -> None:
    (update,) = reconcile([stored(finding())], [finding(last=4)], now=NOW)
    assert update.change is Change.UPDATE
    assert update.episode_id == UUID(int=1)
    assert update.tell == ()


def test_other_numbers_update_the_verdict() -> None:
    other = finding(verdict=Verdict(numbers={"days": "corrected"}, sentence={"en": "", "zh": ""}))
    (update,) = reconcile([stored(finding())], [other], now=NOW)
    assert update.change is Change.UPDATE
    assert reconcile([stored(finding(), numbers=None)], [other], now=NOW) == ()


def test_readings_resolve_an_acknowledged_episode() -> None:
    over = finding(state="resolved", resolved_at=NOW)
    (resolve,) = reconcile([stored(finding(), state="acknowledged")], [over], now=NOW)
    assert (resolve.change, resolve.finding, resolve.tell) == (Change.RESOLVE, over, ())


def test_true_again_within_the_quiet_days_reopens_and_tells() -> None:
    over = finding(state="resolved", resolved_at=NOW)
    (reopen,) = reconcile([stored(over)], [finding(last=12)], now=START + 12 * DAY)
    assert (reopen.change, reopen.episode_id) == (Change.REOPEN, UUID(int=1))
    assert reopen.tell == ("patient", "doctor")


def test_no_longer_true_is_taken_back_and_told_to_a_doctor_who_knew() -> None:
    (retract,) = reconcile([stored(finding(), doctor_told=True)], [], now=NOW)
    assert (retract.change, retract.finding, retract.tell) == (Change.RETRACT, None, ("doctor",))
    (silent,) = reconcile([stored(finding(), doctor_told=False)], [], now=NOW)
    assert silent.tell == ()


def test_what_was_taken_back_comes_back_as_the_same_episode() -> None:
    (reopen,) = reconcile([stored(finding(), state="retracted")], [finding(last=4)], now=NOW)
    assert (reopen.change, reopen.episode_id) == (Change.REOPEN, UUID(int=1))


def test_of_two_retracted_episodes_the_one_with_the_same_start_comes_back() -> None:
    earlier, same = stored(finding(1, 5), 1, state="retracted"), stored(finding(2, 5), 2, state="retracted")
    (reopen,) = reconcile([earlier, same], [finding(2, 6)], now=NOW)
    assert reopen.episode_id == UUID(int=2)


def test_a_merge_keeps_the_earlier_and_takes_the_later_back_silently() -> None:
    early = stored(finding(1, 3, state="resolved", resolved_at=NOW), 1)
    late = stored(finding(14, 16), 2, doctor_told=True)
    joined = finding(1, 16)
    retract, reopen = reconcile([late, early], [joined], now=START + 16 * DAY)
    assert (retract.change, retract.episode_id, retract.tell) == (Change.RETRACT, UUID(int=2), ())
    assert retract.reason == "merged"
    assert (reopen.change, reopen.episode_id) == (Change.REOPEN, UUID(int=1))


def test_a_split_keeps_the_first_part_and_opens_the_second() -> None:
    whole = stored(finding(1, 16))
    parts = [finding(1, 3, state="resolved", resolved_at=START + 6 * DAY), finding(14, 16)]
    resolve, opened = reconcile([whole], parts, now=START + 16 * DAY)
    assert (resolve.change, resolve.episode_id) == (Change.RESOLVE, UUID(int=1))
    assert (opened.change, opened.finding) == (Change.OPEN, parts[1])


def test_two_episodes_of_one_day_keep_their_names_when_an_earlier_one_arrives() -> None:
    def at(hour: int) -> Finding:
        return finding(1, 1, started_at=START + timedelta(hours=hour), opened_at=START + timedelta(hours=hour))

    (opened,) = reconcile([stored(at(5), 1), stored(at(9), 2)], [at(1), at(5), at(9)], now=NOW)
    assert (opened.change, opened.finding) == (Change.OPEN, at(1))


def test_an_old_finding_is_a_note() -> None:
    (opened,) = reconcile([], [finding()], now=START + 11 * DAY)
    assert (opened.change, opened.tell, opened.tell_at, opened.reason) == (Change.OPEN, (), None, "found_late")


def test_a_note_that_later_readings_make_news_is_told() -> None:
    note = stored(finding(), is_untold=True)
    (told,) = reconcile([note], [finding(1, 11)], now=START + 11 * DAY)
    assert (told.change, told.episode_id, told.tell) == (Change.UPDATE, note.episode_id, ("patient", "doctor"))
    assert reconcile([note], [finding(1, 4)], now=START + 12 * DAY)[0].tell == ()
    assert reconcile([replace(note, is_untold=False)], [finding(1, 11)], now=START + 11 * DAY)[0].tell == ()
    assert reconcile([replace(note, state="acknowledged")], [finding(1, 11)], now=START + 11 * DAY)[0].tell == ()


def test_a_note_about_what_was_replaced_is_told_when_nothing_replaced_it_after_all() -> None:
    over = finding(state="resolved", resolved_at=START + 4 * DAY, opened_at=START)
    note = stored(over, is_untold=True)
    assert reconcile([note], [over], now=START + 5 * DAY) == ()
    (told,) = reconcile([note], [replace(over, tell_late=("doctor",))], now=START + 5 * DAY)
    assert (told.change, told.tell) == (Change.UPDATE, ("doctor",))


def test_what_is_over_when_it_is_found_is_told_to_those_who_hear_of_late_ones() -> None:
    over = finding(state="resolved", resolved_at=NOW, tell_late=("doctor",))
    (opened,) = reconcile([], [over], now=NOW)
    assert (opened.change, opened.tell) == (Change.OPEN, ("doctor",))


def test_what_a_person_closed_stays_closed_until_a_new_elevated_day() -> None:
    closed = stored(finding(), state="resolved", closed_by_person=True, resolved_at=NOW)
    assert reconcile([closed], [finding()], now=NOW) == ()
    (reopen,) = reconcile([closed], [finding(last=4)], now=NOW + DAY)
    assert (reopen.change, reopen.tell) == (Change.REOPEN, ("patient", "doctor"))


def test_what_a_person_closed_opens_again_for_a_later_reading_of_the_same_day() -> None:
    closed = stored(finding(1, 1), state="resolved", closed_by_person=True, resolved_at=START + timedelta(hours=2))
    assert reconcile([closed], [finding(1, 1, newest_at=START + timedelta(hours=1))], now=NOW) == ()
    (reopen,) = reconcile([closed], [finding(1, 1, newest_at=START + timedelta(hours=3))], now=NOW)
    assert reopen.change is Change.REOPEN


def test_what_a_person_closed_in_two_parts_stays_closed_when_a_longer_view_joins_them() -> None:
    closed = {"state": "resolved", "closed_by_person": True}
    first = stored(finding(1, 3), resolved_at=START + 4 * DAY, **closed)
    second = stored(finding(11, 13), 2, resolved_at=START + 14 * DAY, **closed)
    assert reconcile([first, second], [finding(1, 13)], now=START + 14 * DAY) == ()
    (again,) = reconcile([first, second], [finding(1, 15)], now=START + 15 * DAY)
    assert (again.change, again.episode_id) == (Change.REOPEN, first.episode_id)


def test_what_a_person_closed_is_neither_taken_back_nor_resolved_again() -> None:
    closed = stored(finding(), state="resolved", closed_by_person=True, resolved_at=NOW)
    assert reconcile([closed], [], now=NOW) == ()
    over = finding(last=4, state="resolved", resolved_at=NOW + 3 * DAY)
    assert reconcile([closed], [over], now=NOW + 3 * DAY) == ()


def test_a_new_threshold_closes_the_old_episode_and_judges_afresh() -> None:
    fresh = finding(threshold_version=2)
    closed, opened = reconcile([stored(finding())], [fresh], now=NOW, threshold_versions={"bp": 2})
    assert (closed.change, closed.finding, closed.reason) == (Change.RESOLVE, None, "threshold_changed")
    assert (opened.change, opened.finding) == (Change.OPEN, fresh)


def test_a_new_threshold_closes_the_old_episode_though_nothing_is_found() -> None:
    (closed,) = reconcile([stored(finding())], [], now=NOW, threshold_versions={"bp": 1})
    assert closed.change is Change.RESOLVE


def test_episodes_of_old_thresholds_that_are_over_stay_as_they_are() -> None:
    over = stored(finding(state="resolved", resolved_at=NOW))
    assert reconcile([over], [], now=NOW, threshold_versions={"bp": 1}) == ()


def test_rules_are_reconciled_apart() -> None:
    (opened,) = reconcile([stored(finding())], [finding(), finding(rule_id="other")], now=NOW)
    assert opened.finding is not None
    assert opened.finding.rule_id == "other"


def test_a_settled_episode_is_left_alone_when_the_view_does_not_reach_it() -> None:
    over = stored(finding(state="resolved", resolved_at=NOW))
    assert reconcile([over], [], now=START + 60 * DAY, since=START + 60 * DAY) == ()


def test_a_settled_episode_cut_short_by_the_view_is_not_a_new_one() -> None:
    over = stored(finding(1, 9, state="resolved", resolved_at=START + 12 * DAY))
    ghost = finding(5, 9, state="resolved", resolved_at=START + 12 * DAY)
    assert reconcile([over], [ghost], now=START + 60 * DAY, since=START + 60 * DAY) == ()


def test_an_episode_that_is_not_settled_is_taken_back_even_late() -> None:
    (retract,) = reconcile([stored(finding())], [], now=START + 60 * DAY, since=START + 60 * DAY)
    assert retract.change is Change.RETRACT


def test_the_view_reaches_back_to_every_episode_that_is_not_settled() -> None:
    since = START + 60 * DAY
    settled = stored(finding(state="resolved", resolved_at=NOW), 1)
    retracted = stored(finding(2, 4), 2, state="retracted")
    assert view_from([settled, retracted], since) == since - 3 * DAY
    assert view_from([settled, stored(finding(8, 10), 3)], since) == START + 7 * DAY


URGENT = finding(priority="high", raised_at=NOW)


@pytest.mark.parametrize("state", ["active", "acknowledged", "snoozed"])
def test_what_becomes_more_urgent_is_told_to_the_doctor_once_more_whoever_had_acknowledged_it(state: Any) -> None:
    (update,) = reconcile([stored(finding(), state=state)], [URGENT], now=NOW)
    assert (update.change, update.reason, update.tell, update.tell_at) == (Change.UPDATE, RAISED, ("doctor",), NOW)


def test_a_patient_who_never_heard_of_it_hears_when_it_becomes_more_urgent() -> None:
    (update,) = reconcile([stored(finding(), is_patient_untold=True)], [URGENT], now=NOW)
    assert (update.reason, update.tell) == (RAISED, ("patient", "doctor"))
    (of_the_doctor,) = reconcile(
        [stored(finding(), is_patient_untold=True)], [replace(URGENT, tell=("doctor",))], now=NOW
    )
    assert of_the_doctor.tell == ("doctor",)


def test_what_was_raised_once_is_not_raised_again() -> None:
    assert reconcile([stored(URGENT)], [URGENT], now=NOW) == ()
    (update,) = reconcile([stored(URGENT)], [replace(URGENT, last_day=date(2026, 3, 4))], now=NOW)
    assert (update.reason, update.tell) == ("readings", ())


def test_what_becomes_less_urgent_is_told_to_nobody() -> None:
    (update,) = reconcile([stored(URGENT)], [finding()], now=NOW)
    assert (update.change, update.reason, update.tell) == (Change.UPDATE, "readings", ())


def test_what_is_no_longer_news_is_raised_without_a_word() -> None:
    (update,) = reconcile([stored(finding())], [URGENT], now=START + 11 * DAY)
    assert (update.change, update.reason, update.tell) == (Change.UPDATE, "readings", ())


def test_what_was_never_told_and_becomes_urgent_is_told_as_news_once() -> None:
    (told,) = reconcile([stored(finding(), is_untold=True)], [URGENT], now=NOW)
    assert (told.reason, told.tell) == ("news_after_all", ("patient", "doctor"))


def test_what_a_person_closed_before_it_became_urgent_stays_closed() -> None:
    closed = stored(finding(), state="resolved", closed_by_person=True, resolved_at=NOW)
    assert reconcile([closed], [URGENT], now=NOW) == ()


def test_a_rule_that_does_not_tell_the_doctor_does_not_tell_of_a_raise() -> None:
    (update,) = reconcile([stored(finding())], [replace(URGENT, tell=("patient",))], now=NOW)
    assert (update.reason, update.tell) == (RAISED, ())


def test_a_first_reading_that_is_taken_away_leaves_the_same_alert_with_a_later_beginning() -> None:
    """What was raised by the repeat is unconfirmed again, and when nobody repeats the repeat it is raised anew."""
    at = START + timedelta(minutes=2)
    repeat = finding(1, 1, started_at=at, opened_at=at)
    (update,) = reconcile([stored(finding(1, 1, priority="high"))], [repeat], now=NOW)
    assert (update.change, update.episode_id, update.tell) == (Change.UPDATE, UUID(int=1), ())
    (again,) = reconcile([stored(repeat)], [replace(repeat, priority="high", raised_at=NOW)], now=NOW)
    assert (again.reason, again.tell) == (RAISED, ("doctor",))
