"""In what the judge's alerts differ from the oracle's, for one patient with nothing due at one instant. Pure.

Both sides have seen the same readings and the same instant, so they must say the same. What depends on the order in which things
came, and may, is not compared: what a person has closed stays as it was closed until there is newer evidence; alerts judged by
thresholds or rule versions that are no longer in force stay as they were; and an alert that was over before the thresholds in
force were set need not have been found by them. docs/how-to/recompute says the same to people.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from server.oracle.marks import by_itself
from server.oracle.rules import DaysRule, FailureRule, OracleRule, ValueRule
from server.oracle.shapes import OracleAlert
from server.oracle.signals import signal_called
from server.store.recompute import Case, Difference, DifferenceKind, StoredEpisode

PROMPTLY: Final = timedelta(days=7)
"""An alert found so soon after its first reading is news, whatever came later (architecture: pushes of an episode)."""

ACUTE: Final = timedelta(hours=24)
"""A single value found so soon is news."""

SAME_BREATH: Final = timedelta(minutes=1)
"""A message is queued in the transaction that finds the alert; neither clock of the two rows is the other's."""

COMPARED: Final[Mapping[DifferenceKind, tuple[str, ...]]] = {
    DifferenceKind.OTHER_DAYS: ("first_day", "last_day"),
    DifferenceKind.OTHER_INSTANTS: ("started_at", "opened_at", "resolved_at"),
    DifferenceKind.OTHER_GROUNDS: ("priority", "reading_ids"),
}
BEGINNINGS: Final = frozenset({"first_day", "started_at", "opened_at", "reading_ids"})
"""What depends on how far back the judge looked when the patient's thresholds were set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One rule's alerts of one patient, on both sides."""

    case: Case
    rule: OracleRule
    alerts: list[OracleAlert]
    episodes: list[StoredEpisode]

    @property
    def version(self) -> int:
        """Of the thresholds in force."""
        own = self.case.patient.thresholds.get(self.rule.id)
        return 0 if own is None else own.version

    @property
    def set_at(self) -> datetime | None:
        return self.case.set_at.get(self.rule.id)


def differences(case: Case, alerts: Sequence[OracleAlert], rules: Sequence[OracleRule]) -> list[Difference]:
    """All of them; `alerts` are the oracle's for `case.patient` at `case.at` by `rules`."""
    known = {rule.id for rule in rules}
    found = [
        _difference(case, episode.rule_id, DifferenceKind.EXTRA, None, episode)
        for episode in case.episodes
        if episode.rule_id not in known and _is_standing(episode) and episode.state != "resolved"
    ]
    for rule in rules:
        side = _Side(
            case=case,
            rule=rule,
            alerts=[alert for alert in alerts if alert.rule_id == rule.id and alert.state != "pending"],
            episodes=[episode for episode in case.episodes if episode.rule_id == rule.id],
        )
        found += _of_rule(side)
    return found


def not_judged(case: Case) -> Difference:
    """Something of the patient has been due at every look."""
    stored = {"due_ids": sorted(case.due)}
    return Difference(patient_id=case.patient_id, rule_id="", kind=DifferenceKind.NOT_JUDGED, at=case.at, stored=stored)


def not_computed(case: Case) -> Difference:
    """The oracle has no answer: that is no agreement."""
    return Difference(patient_id=case.patient_id, rule_id="", kind=DifferenceKind.NOT_COMPUTED, at=case.at)


def _of_rule(side: _Side) -> Iterator[Difference]:
    case = side.case
    for episode in side.episodes:
        if _is_standing(episode) and _is_recent(case, episode.resolved_at) and _has_wrong_version(side, episode):
            yield _difference(case, side.rule.id, DifferenceKind.OTHER_THRESHOLDS, None, episode)
    judged_alike = (e for e in side.episodes if _is_standing(e) and e.threshold_version == side.version)
    standing = [e for e in judged_alike if not _is_replaced(side, e)]
    pairs = _pair(side.alerts, standing)
    for alert in side.alerts:
        matched = pairs.get(id(alert))
        if matched is not None:
            if _is_recent(case, alert.resolved_at) or _is_recent(case, matched.resolved_at):
                yield from _of_pair(side, alert, matched)
        elif _is_recent(case, alert.resolved_at) and _is_wanted(side, alert):
            yield _difference(case, side.rule.id, DifferenceKind.MISSING, alert, None)
    taken = {episode.episode_id for episode in pairs.values()}
    for episode in standing:
        is_compared = _is_recent(case, episode.resolved_at) and not _is_left_alone(side, episode)
        if episode.episode_id not in taken and is_compared:
            yield _difference(case, side.rule.id, DifferenceKind.EXTRA, None, episode)


def _of_pair(side: _Side, alert: OracleAlert, episode: StoredEpisode) -> Iterator[Difference]:
    """What is said otherwise of one alert, and whether people were told of it."""
    case = side.case
    if episode.closed_by_person:
        if alert.state == "active" and (isinstance(side.rule, DaysRule) or _is_newer(alert, episode)):
            yield _difference(case, side.rule.id, DifferenceKind.OTHER_STATE, alert, episode)
        return
    if _is_left_alone(side, episode):
        return
    if (alert.state == "active") is (episode.state == "resolved"):
        yield _difference(case, side.rule.id, DifferenceKind.OTHER_STATE, alert, episode)
    is_older_than_thresholds = side.set_at is not None and alert.opened_at <= side.set_at
    computed, stored = _alert_facts(alert), _episode_facts(episode)
    for kind, names in COMPARED.items():
        compared = [name for name in names if not (is_older_than_thresholds and name in BEGINNINGS)]
        if any(computed[name] != stored[name] for name in compared):
            yield _difference(case, side.rule.id, kind, alert, episode)
    untold = [who for who in _to_be_told(side, alert, episode) if not _is_told(episode, who)]
    if untold:
        yield _difference(case, side.rule.id, DifferenceKind.NOT_PUSHED, alert, episode, {"untold": untold})


def _pair(alerts: Sequence[OracleAlert], episodes: Sequence[StoredEpisode]) -> dict[int, StoredEpisode]:
    """Which stored episode each alert is, by the alert's identity: first by the same first reading, then by common days."""
    free = sorted(episodes, key=lambda e: (e.first_day, e.started_at))
    pairs: dict[int, StoredEpisode] = {}
    is_same: Callable[[OracleAlert, StoredEpisode], bool]
    for is_same in (lambda a, e: bool(a.started_at == e.started_at), _overlap):
        for alert in sorted(alerts, key=lambda a: (a.first_day, a.started_at)):
            found = next((e for e in free if id(alert) not in pairs and is_same(alert, e)), None)
            if found is not None:
                pairs[id(alert)] = found
                free.remove(found)
    return pairs


def _overlap(alert: OracleAlert, episode: StoredEpisode) -> bool:
    return alert.first_day <= episode.last_day and episode.first_day <= alert.last_day


def _is_standing(episode: StoredEpisode) -> bool:
    return episode.state != "retracted"


def _is_recent(case: Case, ended_at: datetime | None) -> bool:
    return ended_at is None or ended_at >= case.since


def _is_wanted(side: _Side, alert: OracleAlert) -> bool:
    """Must the judge have found it? Not what an older version of the rule covers, nor all that became true before the
    thresholds were set: then the judge looked only as far back as an alert reached that was open or just over."""
    if alert.state == "closed":
        return False
    standing = [e for e in side.episodes if _is_standing(e)]
    if any(_overlap(alert, e) for e in standing if e.rule_version < side.rule.version):
        return False
    set_at = side.set_at
    if set_at is None or alert.opened_at > set_at:
        return True
    was_over = alert.resolved_at is not None and alert.resolved_at <= set_at
    in_view = [e for e in standing if e.resolved_at is None or e.resolved_at >= set_at]
    return not was_over and any(e.started_at <= alert.opened_at for e in in_view if _overlap(alert, e))


def _has_wrong_version(side: _Side, episode: StoredEpisode) -> bool:
    """Judged by thresholds that never were the patient's; or open still by such as were, but are no longer, or by a version of
    the rule that judges no more."""
    is_old = 0 <= episode.threshold_version < side.version
    if episode.threshold_version != side.version:
        return not (is_old and episode.state == "resolved")
    return episode.rule_version != side.rule.version and episode.state != "resolved"


def _is_replaced(side: _Side, episode: StoredEpisode) -> bool:
    """It was over when the rule became another version: what that finds is an alert of its own."""
    return episode.rule_version != side.rule.version and episode.state == "resolved"


def _is_left_alone(side: _Side, episode: StoredEpisode) -> bool:
    """What a person closed stays as it is."""
    return episode.closed_by_person


def _is_newer(alert: OracleAlert, episode: StoredEpisode) -> bool:
    assert episode.resolved_at is not None
    return alert.evidence_at > episode.resolved_at or alert.last_day > episode.last_day


def _to_be_told(side: _Side, alert: OracleAlert, episode: StoredEpisode) -> list[str]:
    """Who must have been told, whatever the order in which the readings came: nobody, where that alone decided it."""
    if episode.found_quietly:
        return []
    was_active = episode.found_state == "active"
    if isinstance(side.rule, FailureRule):
        return list(alert.tells) if was_active else []
    if not isinstance(side.rule, ValueRule):
        assert alert.fresh_until is not None
        is_news = alert.state == "active" and episode.state == "active" and side.case.at <= alert.fresh_until
        was_news = was_active and episode.found_at <= alert.started_at + PROMPTLY
        return list(alert.tells) if is_news or was_news else []
    told = list(alert.tells_late)
    if was_active and episode.found_at <= alert.opened_at + ACUTE and not _measured_after(side.case, side.rule, alert):
        told += [who for who in alert.tells if who not in told]
    return told


def _measured_after(case: Case, rule: ValueRule, alert: OracleAlert) -> bool:
    """Was anything measured later of what the rule looks at, also what a person has said since is not the patient's?"""
    signals = (signal_called(condition.signal) for condition in rule.conditions)
    kinds = {kind for signal in signals if signal is not None for kind in signal.kinds}
    if any(kind in kinds and measured_at > alert.evidence_at for kind, measured_at in case.taken_away):
        return True
    return any(
        reading.kind in kinds and reading.measured_at > alert.evidence_at and by_itself(reading) != "invalid"
        for reading in case.patient.readings
    )


def _is_told(episode: StoredEpisode, who: str) -> bool:
    told_at = episode.patient_told_at if who == "patient" else episode.clinic_told_at
    return told_at is not None and told_at >= episode.found_at - SAME_BREATH


def _difference(
    case: Case,
    rule_id: str,
    kind: DifferenceKind,
    alert: OracleAlert | None,
    episode: StoredEpisode | None,
    more: Mapping[str, Any] | None = None,
) -> Difference:
    return Difference(
        patient_id=case.patient_id,
        rule_id=rule_id,
        kind=kind,
        at=case.at,
        episode_id=None if episode is None else episode.episode_id,
        computed=None if alert is None else _alert_facts(alert) | dict(more or {}),
        stored=None if episode is None else _episode_facts(episode),
    )


def _alert_facts(alert: OracleAlert) -> dict[str, Any]:
    names = (
        "state",
        "threshold_version",
        "priority",
        "first_day",
        "last_day",
        "started_at",
        "opened_at",
        "resolved_at",
    )
    return {name: getattr(alert, name) for name in names} | {"reading_ids": _ids(alert.reading_ids)}


def _episode_facts(episode: StoredEpisode) -> dict[str, Any]:
    names = ("state", "threshold_version", "priority", "first_day", "last_day", "started_at", "opened_at", "resolved_at",
             "closed_by_person")  # fmt: skip
    return {name: getattr(episode, name) for name in names} | {"reading_ids": _ids(episode.reading_ids)}


def _ids(names: Iterable[str]) -> list[str]:
    return [str(UUID(name)) for name in names]
