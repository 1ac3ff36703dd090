"""Whatever clinicians say of readings, in whatever order: in the end all have the episodes of the readings that are theirs."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from random import Random

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.rules import absence_histories, histories
from unit.rules.clinic import Clinic, fresh_view

from server.rules.episodes import Change
from server.rules.load import load_catalog
from server.rules.rule import RuleFile, RuleSet
from server.rules.windows import PatientHistory, Row, window_of

CATALOG = load_catalog()


class Two:
    """Two patients, one cuff, and clinicians who sort out whose each reading is. A reading is one's, the other's, or nobody's."""

    def __init__(self, random: Random, days: int, rules: RuleSet) -> None:
        made = histories.patient(random, days=days)
        self.random = random
        self.rows = [histories.row_of(reading) for reading in made.readings]
        self.people: list[PatientHistory] = [
            replace(
                histories.history_of(made), window=window_of(()), enrolled_on=made.enrolled_on - timedelta(days=back)
            )
            for back in (0, random.choice((0, 9)))
        ]
        self.rules = rules
        self.clinics = [Clinic(each, rules) for each in self.people]
        self.owner: dict[Row, int | None] = {}
        self.now = min((row.measured_at for row in self.rows), default=histories.some_now(random, made))

    def play(self) -> None:
        """Readings come in, late or not, and are corrected, some of them several times."""
        for each in self.clinics:
            each.enrol(min(self.now, datetime.combine(each.patient.enrolled_on, time(12), UTC)))
        waiting = sorted(self.rows, key=lambda row: (row.measured_at, self.random.choice((0, 1))))
        while waiting:
            size = self.random.choice((1, 1, 2, 7, 30))
            batch, waiting = waiting[:size], waiting[size:]
            self._wait(max(self.now, *(row.measured_at for row in batch)))
            self.clinics[0].take(batch, self.now)
            self.owner |= dict.fromkeys(batch, 0)
            for _ in range(self.random.choice((0, 0, 1, 2))):
                self._correct()
        for _ in range(self.random.choice((1, 4))):
            if self.rows:
                self._correct()

    def _correct(self) -> None:
        said = self.random.sample(list(self.owner), k=min(len(self.owner), self.random.choice((1, 1, 3, 8))))
        to = self.random.choice((None, 0, 1))
        self._wait(self.now)
        for whose in (0, 1):
            taken = [row for row in said if self.owner[row] == whose and to != whose]
            given = [row for row in said if self.owner[row] != whose and to == whose]
            if taken:
                self.clinics[whose].correct(taken, self.now, here=False)
            if given:
                self.clinics[whose].correct(given, self.now, here=True)
        self.owner |= dict.fromkeys(said, to)

    def _wait(self, at: datetime) -> None:
        self.now = at + timedelta(minutes=self.random.choice((0, 1, 45, 600)))
        for each in self.clinics:
            each.wait_until(self.now)

    def end(self) -> None:
        self._wait(self.now + timedelta(days=self.random.choice((0, 1, 20))))
        for each in self.clinics:
            each.judge(self.now, since=self.now)


def check(random: Random, *, days: int, rules: RuleSet = CATALOG) -> int:
    two = Two(random, days, rules)
    two.play()
    two.end()
    for whose, (clinic, person) in enumerate(zip(two.clinics, two.people, strict=True)):
        theirs = window_of(row for row, owner in two.owner.items() if owner == whose)
        assert clinic.says() == fresh_view(replace(person, window=theirs), rules, two.now)
    return sum(t.change is Change.RETRACT for clinic in two.clinics for t in clinic.transitions)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**63).map(Random))
def test_any_order_of_readings_and_corrections_ends_in_the_same_episodes(random: Random) -> None:
    check(random, days=18)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**63).map(Random))
def test_corrections_of_long_past_readings_end_in_the_same_episodes(random: Random) -> None:
    check(random, days=80)


def check_absence(random: Random) -> int:
    """A silence, or a schedule, of days that a clinician says were measured by somebody else."""
    text = absence_histories.some_rule(random, random.choice(absence_histories.KINDS))
    return check(random, days=18, rules=RuleSet(RuleFile.model_validate(yaml.safe_load(text)).rules))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63).map(Random))
def test_what_was_not_measured_is_the_same_after_corrections(random: Random) -> None:
    check_absence(random)


def test_the_corrections_that_are_tried_do_take_alerts_back() -> None:
    assert sum(check(Random(seed), days=18) for seed in range(40)) > 10
