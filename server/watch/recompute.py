"""Computes every patient's alerts anew, by the oracle, and compares them with what the judge has stored.

A few patients at a time, each batch of one moment: readings and alerts are read in one repeatable-read transaction that writes
nothing. Who is just being judged is looked at again a little later. A run that is broken off counts for nothing and is begun
again by whoever comes next; of many processes one runs. When it runs is decided in `nightly`.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from server.oracle.alerts import alerts_of
from server.oracle.rules import OracleRule, reach_days, rules_of, span_days
from server.store import recompute as store
from server.store.postgres import Connection, Pool, in_transaction
from server.store.recompute import DAYS, Approved, Case, Difference, Found
from server.watch.differences import differences, not_computed, not_judged
from vitals.errors import UnavailableError

log = structlog.get_logger()

PATIENTS_AT_ONCE: Final = 20
LEASE_S: Final = 120.0
"""Renewed with every batch, which takes seconds: a run whose process died is begun again after two minutes."""

PATIENCE_S: Final = 60.0
"""For so long, patients who are being judged are looked at again: the bound of the judge's own lag (JUDGE_LAG)."""

LOOK_AGAIN_S: Final = 5.0
SAID_EVERY: Final = 500
"""Patients between two lines of progress in the log."""


class BusyError(Exception):
    """Another run is under way."""


@dataclass(slots=True, kw_only=True)
class _Going:
    """A run while it goes on. `waiting`: what was due of the patients who could not be compared yet, at the first look."""

    given: tuple[OracleRule, ...] | None
    days: int
    rules: tuple[OracleRule, ...] = ()
    approved: Approved | None = None
    patients: int = 0
    alerts: int = 0
    found: list[Difference] = field(default_factory=list)
    waiting: dict[int, frozenset[int]] = field(default_factory=dict)


def recompute(
    pool: Pool,
    stop: threading.Event,
    *,
    days: int = DAYS,
    share: float = 1.0,
    patience_s: float = PATIENCE_S,
    rules: tuple[OracleRule, ...] | None = None,
) -> Found | None:
    """Compare everybody and record it; None if told to stop before the end. `share` of the time is spent working.

    By the rules in force, or by those that are given.

    Raises `BusyError` if another process is at it.
    """
    run_id = in_transaction(pool, lambda conn: store.begin_run(conn, days=days, lease_s=LEASE_S))
    if run_id is None:
        raise BusyError("a recompute is under way already")
    log.info("recompute_begun", run_id=run_id, days=days)
    going = _Going(given=rules, days=days)
    is_done = False
    try:
        is_done = _everybody(pool, stop, going, run_id, share) and _who_was_busy(pool, stop, going, run_id, patience_s)
    finally:
        if not is_done:
            _give_up(pool, run_id)
    if not is_done:
        return None
    found = _found(going)
    in_transaction(pool, lambda conn: store.end_run(conn, run_id, found, days=days))
    log.info(
        "recompute_ended",
        run_id=run_id,
        patients=found.patients,
        waiting=found.waiting,
        alerts=found.alerts,
        differences=len(found.differences),
    )
    return found


def recompute_one(
    pool: Pool, patient_id: int, *, days: int = DAYS, patience_s: float = PATIENCE_S, stop: threading.Event
) -> Found:
    """Compare one patient and record nothing."""
    going = _Going(given=None, days=days)
    _compare(pool, going, [patient_id], at_first=True)
    _who_was_busy(pool, stop, going, None, patience_s)
    return _found(going)


def _everybody(pool: Pool, stop: threading.Event, going: _Going, run_id: int, share: float) -> bool:
    """The first look at everybody; False if told to stop before the end."""
    after, said = 0, 0
    while not stop.is_set():
        began = time.monotonic()
        batch = _next_patients(pool, after)
        if not batch:
            return True
        _compare(pool, going, batch, at_first=True)
        _renew(pool, going, run_id)
        after = batch[-1]
        if going.patients - said >= SAID_EVERY:
            said = going.patients
            log.info("recompute_goes_on", run_id=run_id, patients=said, differences=len(going.found))
        stop.wait((time.monotonic() - began) * (1 / share - 1))
    return False


def _next_patients(pool: Pool, after: int) -> list[int]:
    return in_transaction(pool, lambda conn: store.next_patients(conn, after=after, limit=PATIENTS_AT_ONCE))


def _who_was_busy(pool: Pool, stop: threading.Event, going: _Going, run_id: int | None, patience_s: float) -> bool:
    """Look again at who was being judged; whose very same rows are still due in the end, is not judged by anybody."""
    until = time.monotonic() + patience_s
    while going.waiting and time.monotonic() < until:
        if stop.wait(min(LOOK_AGAIN_S, until - time.monotonic())):
            return False
        _look_again(pool, going, run_id)
    if going.waiting:
        _look_again(pool, going, run_id, is_last=True)
    return not stop.is_set()


def _look_again(pool: Pool, going: _Going, run_id: int | None, *, is_last: bool = False) -> None:
    whom = sorted(going.waiting)
    for start in range(0, len(whom), PATIENTS_AT_ONCE):
        _compare(pool, going, whom[start : start + PATIENTS_AT_ONCE], at_first=False, is_last=is_last)
        if run_id is not None:
            _renew(pool, going, run_id)


def _compare(pool: Pool, going: _Going, patient_ids: Sequence[int], *, at_first: bool, is_last: bool = False) -> None:
    """Compare these patients as they are at this moment, by what is in force at this moment."""
    cases = _load(pool, going, patient_ids)
    while cases is None:
        _read_rules(pool, going)
        cases = _load(pool, going, patient_ids)
    for case in cases:
        if not case.due:
            going.waiting.pop(case.patient_id, None)
            _compare_one(going, case)
        elif at_first:
            going.waiting[case.patient_id] = case.due
        elif is_last and case.due & going.waiting[case.patient_id]:
            going.found.append(not_judged(case))


def _read_rules(pool: Pool, going: _Going) -> None:
    going.approved = in_transaction(pool, store.approved_rules)
    going.rules = rules_of(going.approved.text) if going.given is None else going.given


def _load(pool: Pool, going: _Going, patient_ids: Sequence[int]) -> list[Case] | None:
    """None if other rules are in force than those that were read last."""
    approved = going.approved
    if approved is None:
        return None
    look_back = timedelta(days=span_days(going.rules) + 2)
    reach = timedelta(days=reach_days(going.rules))
    versions = {rule.id: rule.version for rule in going.rules}

    def load(conn: Connection) -> list[Case] | None:
        cases = store.load_cases(
            conn,
            patient_ids,
            days=going.days,
            look_back=look_back,
            reach=reach,
            versions=versions,
            approved_at=approved.since,
        )
        return cases if store.approved_rules(conn).edition == approved.edition else None

    return in_transaction(pool, load)


def _compare_one(going: _Going, case: Case) -> None:
    going.patients += 1
    try:
        alerts = alerts_of(case.patient, going.rules, now=case.at)
    except Exception:
        log.exception("recompute_broken", patient_id=case.patient_id)
        going.found.append(not_computed(case))
        return
    going.found += differences(case, alerts, going.rules)
    going.alerts += sum(
        alert.state != "pending" and (alert.resolved_at is None or alert.resolved_at >= case.since) for alert in alerts
    )


def _renew(pool: Pool, going: _Going, run_id: int) -> None:
    in_transaction(pool, lambda conn: store.renew_run(conn, run_id, patients=going.patients, lease_s=LEASE_S))


def _give_up(pool: Pool, run_id: int) -> None:
    """The next may begin at once; without a database it has to wait for the end of our lease."""
    log.info("recompute_broken_off", run_id=run_id)
    with suppress(UnavailableError):
        in_transaction(pool, lambda conn: store.give_up_run(conn, run_id))


def _found(going: _Going) -> Found:
    return Found(
        patients=going.patients, waiting=len(going.waiting), alerts=going.alerts, differences=tuple(going.found)
    )
