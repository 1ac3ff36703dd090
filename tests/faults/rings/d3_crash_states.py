"""D3: the power is cut after every single call that the outbox makes to its files, and the disk keeps what a disk may.

The unmodified outbox works in a process of its own under strace; every crash point of its calls is rebuilt in two worlds and
four ways (`faults.crash.disk`), and each folder is opened by the outbox again. Only folders that differ are counted.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from faults.crash import kernel, mistakes
from faults.crash.disk import Call, Disk, Folder, Mark, Stored, Way, World, fingerprint, lay_out
from faults.crash.gateway import BEGINS, RETURNED, Said
from faults.crash.plans import KINDS, Plan, draw
from faults.crash.steps import Items, Promises, Step
from faults.crash.verdict import Promised, Verdict, epoch_of, examine
from faults.trial import BadBuild, Ring, Size, Tally, Trial

OUTBOX: Final = "homevigil/outbox.sqlite"
"""Below the root of a trial; the gateway makes the folder."""
LENGTH: Final = {Size.SMALL: 7, Size.FULL: 24}
FAILURES_TOLD: Final = 5
_TESTS: Final = Path(__file__).parent.parent.parent
_ENVIRONMENT: Final = os.environ | {"PYTHONPATH": os.pathsep.join([str(_TESTS), str(_TESTS.parent)])}
_MEMORY: Final = Path("/dev/shm")
"""Where a rebuilt folder is opened, if it is there: thousands of syncs that no disk has to wait for."""


def run(trial: Trial) -> Tally:
    """One workload recorded, and every crash point of it examined."""
    plan = draw(trial.number, trial.rng, length=LENGTH[trial.size])
    with _fast_folder(trial.folder) as folder:
        work = _Workshop(folder, trial, plan)
        try:
            tally = _run(work, plan, trial.rng)
        except subprocess.CalledProcessError as e:
            tally = Tally(
                failures=(f"{plan.name}: the gateway fell: {' | '.join(e.stderr.decode().splitlines()[-6:][::-1])}",)
            )
    return replace(tally, trials=1)


def _run(work: "_Workshop", plan: Plan, rng: random.Random) -> Tally:
    promises = Promises()
    at_first = work.prepare(plan.before, promises) if plan.before else {}
    first = work.record(plan.steps, promises, at_first, full_disk=plan.full_disk)
    tally = work.examine(first, rng)
    if plan.after_a_cut and not tally.failures:
        left, found = work.leave(first, rng)
        tally += work.examine(work.record(plan.after_a_cut, Promises(found), left), rng)
    return tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a gateway did, what it promised step by step, and what was there before. `epoch` is that of its file at the end."""

    at_first: Folder
    calls: Sequence[Call]
    promised: Sequence[Items]
    epoch: str | None

    def points(self) -> Iterator[tuple[Disk, Promised]]:
        """The disk after each call, with what must be there."""
        disk = Disk(self.at_first)
        now = Promised(returned=self.promised[0], under_way=self.promised[0], epoch=self._epoch(self.promised[0]))
        for call in self.calls:
            disk.make(call)
            if isinstance(call, Mark):
                now = self._at(msgspec.json.decode(call.text, type=Said))
            yield disk, now

    def _at(self, said: Said) -> Promised:
        before, after = self.promised[said.step], self.promised[said.step + 1]
        if said.what == BEGINS:
            return Promised(returned=before, under_way=after, epoch=self._epoch(before))
        return Promised(returned=after, under_way=after, epoch=self._epoch(after))

    def _epoch(self, items: Items) -> str | None:
        return self.epoch if any(key[0] == "reading" for key in items) else None


class _Workshop:
    """A folder in which workloads are recorded, disks rebuilt and opened."""

    def __init__(self, folder: Path, trial: Trial, plan: Plan) -> None:
        self._folder = folder
        self._trial = trial
        self._plan = plan
        self._root = folder / "recorded"
        self._rebuilt = folder / "rebuilt"
        self._root.mkdir()

    def prepare(self, steps: Sequence[Step], promises: Promises) -> Folder:
        """Do `steps` without a record, and return what is there then."""
        told = msgspec.json.encode(steps)
        subprocess.run(self._command("-"), input=told, env=_ENVIRONMENT, check=True, capture_output=True, timeout=120)
        for step in steps:
            promises.after(step)
        (self._folder / "marks").unlink()
        if self._plan.is_version_1:
            _set_back_to_version_1(self._root / OUTBOX)
        return _folder_of(self._root)

    def record(
        self, steps: Sequence[Step], promises: Promises, at_first: Folder, full_disk: tuple[int, int] | None = None
    ) -> Recording:
        self._clear(self._root)
        lay_out(at_first, self._root)
        inject = f"pwrite64:error=ENOSPC:when={full_disk[0]}..{sum(full_disk)}" if full_disk else None
        calls = kernel.record(
            self._command(self._trial.bad or "-"),
            told=msgspec.json.encode(steps),
            environment=_ENVIRONMENT,
            root=self._root,
            marks=self._folder / "marks",
            at_first=at_first,
            inject=inject,
        )
        returned = {
            said.step
            for said in (msgspec.json.decode(call.text, type=Said) for call in calls if isinstance(call, Mark))
            if said.what == RETURNED
        }
        promised = [promises.items]
        for number, step in enumerate(steps):
            promised.append(promises.after(step) if number in returned else promised[-1])
        return Recording(at_first=at_first, calls=calls, promised=promised, epoch=self._epoch())

    def examine(self, recording: Recording, rng: random.Random) -> Tally:
        """Rebuild every crash point in every way, and open what has not been seen before."""
        tally, seen = Tally(), set()
        for at, (disk, promised) in enumerate(recording.points()):
            for world in World:
                for way in Way:
                    folder = disk.after_power_cut(world, way, rng)
                    mark = (fingerprint(folder), id(promised.returned), id(promised.under_way))
                    if mark in seen:
                        continue
                    seen.add(mark)
                    verdict = self._open(folder, promised)
                    tally += self._counted(verdict, f"call {at}, {world}, {way}")
                    if verdict.broken and self._trial.bad:
                        return tally
        return tally + Tally(faults=len(recording.calls), readings=_readings(recording))

    def leave(self, recording: Recording, rng: random.Random) -> tuple[Folder, Items]:
        """What one cut, anywhere, left of it, and what the outbox finds there."""
        points = len(recording.calls)
        chosen = rng.randrange(points // 3, points)
        for at, (disk, promised) in enumerate(recording.points()):
            if at == chosen:
                folder = disk.after_power_cut(rng.choice([*World]), rng.choice([Way.HALF, Way.TORN]), rng)
                found = self._open(folder, promised).found
                assert found is not None, "this very crash point has just been examined"
                return folder, found
        raise AssertionError(chosen)

    def _open(self, folder: Folder, promised: Promised) -> Verdict:
        self._clear(self._rebuilt)
        lay_out(folder, self._rebuilt)
        return examine(self._rebuilt / OUTBOX, promised)

    def _counted(self, verdict: Verdict, where: str) -> Tally:
        told = tuple(f"{self._plan.name}: {where}: {why}" for why in verdict.broken[:FAILURES_TOLD])
        return Tally(states=1, lost=verdict.lost, failures=told)

    def _epoch(self) -> str | None:
        try:
            return epoch_of(self._root / OUTBOX)
        except sqlite3.Error:
            return None  # only a bad build leaves such a file behind; then every crash point fails

    def _command(self, bad: str) -> list[str]:
        arguments = [str(self._root / OUTBOX), str(self._folder / "marks")]
        return [sys.executable, "-m", "faults.child", bad, "faults.crash.gateway", *arguments]

    def _clear(self, root: Path) -> None:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()


def _set_back_to_version_1(path: Path) -> None:
    """The file as 0.1.0 would have left it; that build noted no instant for what the server had refused."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript("""
            update reading set answered_at = null where rejected_reason is not null;
            drop index reading_rewound;
            drop index reading_unsendable;
            alter table reading drop column rewound_at;
            alter table reading rename column answered_at to confirmed_at;
            pragma user_version = 1;
        """)


def _readings(recording: Recording) -> int:
    return sum(key[0] == "reading" for key in recording.promised[-1])


def _folder_of(root: Path) -> dict[str, Stored | None]:
    """The folder as a disk has it, without what does not outlive a process."""
    found: dict[str, Stored | None] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_dir():
            found[name] = None
        elif not name.endswith(kernel.NOT_DURABLE):
            found[name] = Stored(content=path.read_bytes().rstrip(b"\0"), size=path.stat().st_size)
    return found


@contextmanager
def _fast_folder(otherwise: Path) -> Iterator[Path]:
    where = _MEMORY if os.access(_MEMORY, os.W_OK) else otherwise
    with tempfile.TemporaryDirectory(dir=where, prefix="homevigil-d3-") as folder:
        yield Path(folder).resolve()


RING: Final = Ring(
    name="D3",
    title="The outbox through a power cut at every call",
    makes="power cut after every call to a file; unsynced writes dropped, kept, half kept, torn at 512 bytes; names in"
    " order (ext4) or only by a sync of their folder (POSIX); a full disk; a second cut in the recovery",
    small=len(KINDS) - 1,
    full=100,
    run=run,
    why_not=kernel.why_not,
)

BAD: Final = (
    BadBuild(
        name="outbox-sync-normal",
        breaks="a commit is not synced before keep returns (synchronous = normal)",
        ring="D3",
        trials=2,
        switch_on=mistakes.sync_normal,
    ),
    BadBuild(
        name="outbox-sync-off",
        breaks="nothing is ever synced (synchronous = off)",
        ring="D3",
        trials=2,
        switch_on=mistakes.sync_off,
    ),
    BadBuild(
        name="outbox-journal-in-memory",
        breaks="the journal that undoes half a commit is in memory",
        ring="D3",
        trials=2,
        switch_on=mistakes.journal_in_memory,
    ),
    BadBuild(
        name="outbox-folder-not-synced",
        breaks="the name of a folder that the gateway made is never synced",
        ring="D3",
        trials=1,
        switch_on=mistakes.folder_not_synced,
    ),
    BadBuild(
        name="outbox-answers-before-commit",
        breaks="keep returns when the reading is in a transaction that a later call commits",
        ring="D3",
        trials=1,
        switch_on=mistakes.answers_before_commit,
    ),
    BadBuild(
        name="outbox-body-in-a-second-commit",
        breaks="a reading is kept first and its bytes are written in a commit of their own",
        ring="D3",
        trials=1,
        switch_on=mistakes.body_in_a_second_commit,
    ),
    BadBuild(
        name="outbox-settles-by-delete-and-insert",
        breaks="a held reading is deleted in one commit and put back, with its time, in the next",
        ring="D3",
        trials=3,
        switch_on=mistakes.settles_by_delete_and_insert,
    ),
)
