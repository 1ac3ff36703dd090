"""Runs the rings and the bad builds of a plan, in worker processes, and says what came of it.

A ring's trials run side by side, as many as the ring allows; then its bad builds, each in a process of its own, because a bad
build stays switched on for the life of a process. Nothing here knows what a trial does.
"""

import ctypes
import logging
import multiprocessing.util
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Final, Protocol

import structlog

from faults import rings
from faults.plan import RingPlan, Wish
from faults.trial import BadBuild, Tally, Trial

BAD_BUILDS_AT_ONCE: Final = 2
TORN_DOWN_WITHIN_S: Final = 30.0
PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A trial that failed: its sentence, the command that replays it, and where its files are."""

    number: int
    sentence: str
    replay: str
    folder: Path


@dataclass(slots=True, kw_only=True)
class Attempt:
    """What came of one bad build. `caught_by`: how many trials it took; None: it has passed, and so the campaign fails."""

    build: BadBuild
    tried: int = 0
    caught_by: int | None = None
    sentence: str = ""
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class RingReport:
    """What came of one ring so far."""

    plan: RingPlan
    tally: Tally = field(default_factory=Tally)
    failures: list[Failure] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    seconds: float = 0.0


class Audience(Protocol):
    """Who is told how it goes."""

    def ring_began(self, report: RingReport) -> None: ...
    def trial_ended(self, report: RingReport, failure: Failure | None) -> None: ...
    def ring_ended(self, report: RingReport) -> None: ...
    def bad_build_ended(self, attempt: Attempt) -> None: ...
    def ring_recorded(self, report: RingReport) -> None: ...


def run(wish: Wish, plans: Sequence[RingPlan], folder: Path, audience: Audience) -> tuple[list[RingReport], bool]:
    """Run the plans one after the other; the reports, and whether Ctrl-C has stopped them before their end.

    Folders of failed trials stay in `folder`.
    """
    reports = [RingReport(plan=each) for each in plans]
    try:
        for report in reports:
            if report.plan.why_not is None:
                _run_ring(wish, report, folder, audience)
            audience.ring_recorded(report)
    except KeyboardInterrupt:
        return reports, True
    return reports, False


def is_bad_news(tally: Tally) -> bool:
    """Whether a tally breaks a promise; a ring that counts a loss need not also say so in words."""
    return bool(tally.failures or tally.lost or tally.doubled or tally.missed_pushes or tally.doubled_pushes)


def replay_command(wish: Wish, ring: str, number: int, bad: str | None = None) -> str:
    """The command that runs this one trial again, with the same faults at the same places."""
    full = " --full" if wish.size.value == "full" else ""
    return f"homevigil faults --ring {ring} --seed {wish.seed}{full} --trial {number}" + (
        f" --bad {bad}" if bad else ""
    )


# -- a ring ------------------------------------------------------------------------------------------------------------


def _run_ring(wish: Wish, report: RingReport, folder: Path, audience: Audience) -> None:
    started = time.monotonic()
    plan = report.plan
    audience.ring_began(report)
    trials = [_trial(wish, plan, number, plan.bad, folder) for number in plan.numbers]
    try:
        for trial, tally in _side_by_side(plan.module, trials, _workers(plan)):
            failure = _failure(wish, trial, tally) if is_bad_news(tally) else None
            report.tally += tally
            report.seconds = time.monotonic() - started
            if failure is not None:
                report.failures.append(failure)
            audience.trial_ended(report, failure)
    finally:
        audience.ring_ended(report)
    for attempt in _try_bad_builds(wish, plan, folder):
        report.attempts.append(attempt)
        audience.bad_build_ended(attempt)


def lanes(at_once: int) -> int:
    """As many trials at a time as a ring allows on two cores, scaled to this machine."""
    return max(1, at_once * (os.cpu_count() or 2) // 2)


def _workers(plan: RingPlan) -> int:
    """So few that each has two trials to do: a worker's own start (a cluster, imports) is dear. Where trials mostly wait, that is
    done meanwhile."""
    trials_each = 1 if plan.ring.mostly_waits else 2
    return max(1, min(lanes(plan.ring.at_once), -(-len(plan.numbers) // trials_each)))


def _trial(wish: Wish, plan: RingPlan, number: int, bad: str | None, folder: Path) -> Trial:
    name = plan.ring.name
    place = folder / (f"{name}-{number}" if bad is None else f"{name}-{bad}-{number}")
    return Trial(ring=name, seed=wish.seed, number=number, size=wish.size, folder=place, bad=bad)


def _failure(wish: Wish, trial: Trial, tally: Tally) -> Failure:
    replay = replay_command(wish, trial.ring, trial.number, trial.bad)
    return Failure(number=trial.number, sentence=_sentence(tally), replay=replay, folder=trial.folder)


def _sentence(tally: Tally) -> str:
    counts = (
        f"lost {tally.lost}, doubled {tally.doubled}, missed pushes {tally.missed_pushes},"
        f" doubled pushes {tally.doubled_pushes}"
    )
    return "; ".join(tally.failures) or counts


def _side_by_side(module: str, trials: Sequence[Trial], at_once: int) -> Iterator[tuple[Trial, Tally]]:
    """Each trial with its tally, as they end."""
    waiting = list(reversed(trials))
    while waiting:  # once, unless a worker dies: then the rest goes on with new ones
        running: dict[Future[Tally], Trial] = {}
        with _Workers(at_once) as workers:
            while waiting or running:
                while waiting and len(running) < at_once and not workers.is_broken:
                    trial = waiting.pop()
                    running[workers.perform(module, trial)] = trial
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for each in done:
                    yield running.pop(each), _tally_of(each)
                if workers.is_broken and not running:
                    break


def _tally_of(done: "Future[Tally]") -> Tally:
    try:
        return done.result()
    except BrokenProcessPool:
        return Tally(trials=1, failures=("a worker process died in the middle of this trial or of its neighbour",))


def _try_bad_builds(wish: Wish, plan: RingPlan, folder: Path) -> Iterator[Attempt]:
    """Each bad build of the ring, until a trial fails or its trials are used up."""
    waiting = [Attempt(build=each) for each in reversed(plan.bad_builds)]
    running: dict[Future[Tally], tuple[Attempt, _Workers, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < min(lanes(plan.ring.at_once), BAD_BUILDS_AT_ONCE):
                attempt, workers = waiting.pop(), _Workers(1)
                running[_try_once(wish, plan, attempt, workers, folder)] = attempt, workers, time.monotonic()
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                attempt, workers, started = running.pop(each)
                tally = _tally_of(each)
                shutil.rmtree(_trial(wish, plan, attempt.tried, attempt.build.name, folder).folder, ignore_errors=True)
                attempt.tried += 1
                attempt.seconds = time.monotonic() - started
                if is_bad_news(tally):
                    attempt.caught_by = attempt.tried
                    attempt.sentence = _sentence(tally)
                elif attempt.tried < attempt.build.trials:
                    running[_try_once(wish, plan, attempt, workers, folder)] = attempt, workers, started
                    continue
                workers.close()
                yield attempt
    finally:
        for _, workers, _ in running.values():
            workers.abandon()


def _try_once(wish: Wish, plan: RingPlan, attempt: Attempt, workers: "_Workers", folder: Path) -> "Future[Tally]":
    return workers.perform(plan.module, _trial(wish, plan, attempt.tried, attempt.build.name, folder))


# -- worker processes --------------------------------------------------------------------------------------------------


class _Workers:
    """Processes that perform trials."""

    def __init__(self, at_once: int) -> None:
        self._pool = ProcessPoolExecutor(
            at_once, mp_context=get_context("spawn"), initializer=_settle_in, initargs=(os.getpid(),)
        )
        self.is_broken = False

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *why: object) -> None:
        if any(why):
            self.abandon()
        else:
            self.close()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def abandon(self) -> None:
        """End now; what the workers were at is torn down by themselves. Nobody may interrupt this: half of it would hang."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(TORN_DOWN_WITHIN_S)
            process.kill()

    def perform(self, module: str, trial: Trial) -> "Future[Tally]":
        try:
            future = self._pool.submit(perform, module, trial)
        except BrokenProcessPool as e:
            future = Future()
            future.set_exception(e)
        future.add_done_callback(self._note)
        return future

    def _note(self, done: "Future[Tally]") -> None:
        if not done.cancelled() and isinstance(done.exception(), BrokenProcessPool):
            self.is_broken = True


def perform(module: str, trial: Trial) -> Tally:
    """One trial, in a folder of its own that stays if it fails. What it raises is its failure."""
    trial.folder.mkdir(parents=True)
    try:
        tally = rings.ring(module).run(trial)
    except SystemExit:  # `_leave`, and the trial is torn down by now; the pool would take it for a result and go on
        shutil.rmtree(trial.folder, ignore_errors=True)
        multiprocessing.util._exit_function()
        os._exit(1)
    except Exception as e:  # noqa: BLE001 - whatever a trial raises, the campaign goes on and reports it
        (trial.folder / "traceback.txt").write_text("".join(traceback.format_exception(e)))
        tally = Tally(trials=1, failures=(f"{type(e).__name__}: {e}",))
    if not is_bad_news(tally):
        shutil.rmtree(trial.folder, ignore_errors=True)
    return tally


def _settle_in(campaign_pid: int) -> None:
    """In a new worker: quiet, deaf to Ctrl-C (the campaign decides), and ended with its trials torn down when asked, or when
    the campaign is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM.value)
        if os.getppid() != campaign_pid:
            _leave()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)
