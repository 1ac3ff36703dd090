"""The episodes of one patient, judged at every arrival and at every timer, against judging all that has come at once.

Readings come in any order, late, repeated and in batches. After each step the stored episodes must be those that somebody
would find who knows no history; and an alert that becomes true again must be the same alert.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from unit.rules import histories
from unit.rules.clinic import Clinic, fresh_view

from server.rules.episodes import Change, Episode, Finding, Transition
from server.rules.load import load_catalog
from server.rules.windows import window_of

_CATALOG = load_catalog()


class _WatchfulClinic(Clinic):
    """Sees to it that an alert which has been known before comes back as itself."""

    def judge(self, now: datetime, since: datetime) -> None:
        self.known_before = tuple(self.stored.values())
        super().judge(now, since)

    def _write(self, transition: Transition, now: datetime) -> None:
        if transition.change is Change.OPEN:
            assert transition.finding is not None
            for episode in self.known_before:
                is_same = episode.rule_id == transition.finding.rule_id and self._is_free(episode, transition.finding)
                assert not is_same, f"{episode.rule_id} of {episode.first_day} came back as another alert"
        super()._write(transition, now)

    def _is_free(self, episode: Episode, finding: Finding) -> bool:
        """Whether nothing but this episode could have been what is found: it began then, or was taken back and waits."""
        was_taken_back = episode.state == "retracted" == self.stored[episode.episode_id].state
        overlaps = episode.first_day <= finding.last_day and finding.first_day <= episode.last_day
        return episode.started_at == finding.started_at or (was_taken_back and overlaps)


class EpisodeMachine(RuleBasedStateMachine):
    """The model is `fresh_view`: what has come so far, judged as if it had come at once."""

    @initialize(seed=st.integers(0, 2**32))
    def a_patient_is_drawn(self, seed: int) -> None:
        die = Random(seed)
        made = histories.patient(die, days=18)
        self.patient = histories.history_of(made)
        self.rows = [histories.row_of(reading) for reading in made.readings]
        self.order = die.choice((self.rows[::-1], die.sample(self.rows, len(self.rows))))
        self.clinic = _WatchfulClinic(replace(self.patient, window=window_of(())), _CATALOG)
        self.now = min((row.measured_at for row in self.rows), default=datetime.fromisoformat("2026-05-04T00:00:00Z"))

    @precondition(lambda self: self.order)
    @rule(wait=st.sampled_from((0, 1, 45, 600)))
    def one_comes_in(self, wait: int) -> None:
        self._take([self.order.pop()], wait)

    @precondition(lambda self: self.order)
    @rule(many=st.sampled_from((2, 4, 7)), repeats=st.integers(0, 3))
    def some_come_in(self, many: int, repeats: int) -> None:
        """In an order that no meter would give, late, and with some that have come before."""
        batch = [self.order.pop() for _ in range(min(many, len(self.order)))]
        self._take(batch + self.clinic.rows[:repeats], wait=1)

    @rule(hours=st.sampled_from((1, 9, 24, 200)))
    def time_goes_by(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.clinic.wait_until(self.now)

    @rule()
    def the_clinic_says_what_is_so(self) -> None:
        self.clinic.wait_until(self.now)
        self.clinic.judge(self.now, since=self.now)
        so_far = replace(self.patient, window=window_of(self.clinic.rows))
        assert self.clinic.says() == fresh_view(so_far, _CATALOG, self.now)

    def teardown(self) -> None:
        """In the end everything has come in."""
        while self.order:
            self.one_comes_in(wait=0)
        self.the_clinic_says_what_is_so()

    def _take(self, batch: list[histories.Row], wait: int) -> None:
        self.now = max(self.now, *(row.measured_at for row in batch)) + timedelta(minutes=wait)
        self.clinic.take(batch, self.now)
