"""A clinic in memory for tests of order: it loads what the real judge loads (a view, not everything) and writes as it does."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from unit.rules import histories

from server.rules.engine import judge, look_back_days, reach_days
from server.rules.episodes import Change, Episode, Finding, Transition, reconcile, view_from
from server.rules.rehearsal import episode_of
from server.rules.rule import RuleSet
from server.rules.windows import PatientHistory, Row, Symptom, UnheardSpan, window_of


class Clinic:
    """One patient's stored readings and episodes."""

    def __init__(self, patient: PatientHistory, rules: RuleSet) -> None:
        self.patient = patient
        self.rules = rules
        self.rows: list[Row] = []
        self.stored: dict[Any, Episode] = {}
        self.transitions: list[Transition] = []
        self._timer: tuple[datetime, datetime] | None = None  # (due_at, since)
        self._heard: tuple[Symptom, ...] = ()

    def enrol(self, now: datetime) -> None:
        """Whoever is enrolled is judged: who never measures must be seen, too."""
        self.judge(now, since=now)

    def take(self, rows: Sequence[Row], now: datetime) -> None:
        """A batch arrives: timers that have rung before it are judged first."""
        self.wait_until(now)
        self.rows += rows
        self.judge(now, since=min(row.measured_at for row in rows))

    def correct(self, rows: Sequence[Row], now: datetime, *, here: bool) -> None:
        """A clinician has said of these readings that they are not, or are after all, this patient's."""
        self.wait_until(now)
        said = {row.reading_id for row in rows}
        self.rows = [row for row in self.rows if row.reading_id not in said] + (list(rows) if here else [])
        self.judge(now, since=min(row.measured_at for row in rows))

    def wait_until(self, now: datetime) -> None:
        while self._timer is not None and self._timer[0] < now:
            self.judge(*self._timer)

    def judge(self, now: datetime, since: datetime) -> None:
        """What the patient has answered by now is judged with it, a day back."""
        heard = tuple(each for each in self.patient.symptoms if each.at <= now)
        since = min([since, *(each.at - timedelta(days=1) for each in heard if each not in self._heard)])
        self._heard = heard
        start = view_from(self.stored.values(), since) - timedelta(days=look_back_days(self.rules))
        reach = start - timedelta(days=reach_days(self.rules))
        history = replace(
            self.patient,
            window=window_of(row for row in self.rows if row.measured_at >= reach),
            judged_from=start,
            symptoms=heard,
            last_counted_before=self._last_counted(reach),
            unheard=_unheard_by(self.patient, now),
        )
        judgement = judge(history, self.rules, now=now)
        for transition in reconcile(
            self.stored.values(),
            judgement.findings,
            now=now,
            since=since,
            threshold_versions=judgement.threshold_versions,
        ):
            self._write(transition, now)
        self._timer = None if judgement.next_due_at is None else (judgement.next_due_at, now)

    def _last_counted(self, before: datetime) -> datetime | None:
        """The newest reading before it that says that the patient measures."""
        return max(
            (row.measured_at for row in self.rows if row.measured_at < before and _is_counted(row)), default=None
        )

    def _write(self, transition: Transition, now: datetime) -> None:
        self.transitions.append(transition)
        if transition.finding is None:
            assert transition.episode_id is not None
            old = self.stored[transition.episode_id]
            state = "retracted" if transition.change is Change.RETRACT else "resolved"
            self.stored[old.episode_id] = replace(old, state=state, resolved_at=now if state == "resolved" else None)
            return
        episode_id = transition.episode_id or histories.derived_id(f"{len(self.stored)}")
        self.stored[episode_id] = episode_of(transition.finding, episode_id)

    def says(self) -> list[tuple[Any, ...]]:
        """The episodes that are not retracted."""
        return sorted(_facts(e) for e in self.stored.values() if e.state != "retracted")


def fresh_view(patient: PatientHistory, rules: RuleSet, now: datetime) -> list[tuple[Any, ...]]:
    """The episodes as they must be: all that was measured and said judged at once by somebody who knows no history."""
    heard = tuple(each for each in patient.symptoms if each.at <= now)
    patient = replace(patient, symptoms=heard, unheard=_unheard_by(patient, now))
    return sorted(_facts(f) for f in judge(patient, rules, now=now).findings if f.state != "pending")


def _is_counted(row: Row) -> bool:
    return row.quality == "accepted" and row.time_quality != "orphan"


def _unheard_by(patient: PatientHistory, now: datetime) -> tuple[UnheardSpan, ...]:
    """What is known by `now` of the times at which nobody could hear: what ends later lasts."""
    return tuple(
        replace(span, ended=None) if span.ended is not None and span.ended > now else span
        for span in patient.unheard
        if span.began <= now
    )


def _facts(e: Episode | Finding) -> tuple[Any, ...]:
    ended = e.resolved_at.isoformat() if e.resolved_at is not None else ""
    return e.rule_id, e.first_day, e.last_day, e.started_at, e.opened_at, e.state, ended, e.priority
