"""The releases on a machine: one folder each under /opt/homevigil/releases, and `current`, the symlink that says which one runs.
`proven` leads to the last one that was found well; what watches over one that was not yet (`trial`) is taken from there.

Everything of a release lies in its folder: code, commands, units. So moving `current` is the whole of an upgrade or a
rollback, and it is one rename: whoever is interrupted, by `kill -9` or by the mains, leaves the old release or the new one,
never a mixture. To a finished folder nothing but bytecode is added.
"""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gateway.installation import trial
from gateway.installation.trial import Trial, sync_folder

KEPT: Final = 3
"""Releases that stay: the one that runs, the one to go back to, and one more."""
FACTS: Final = "release.json"
WATCH: Final = "bin/homevigil-trial"


class NoSuchReleaseError(Exception):
    """The sentence says which there are."""


class BusyError(Exception):
    """Another installation is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a release says of itself. `made_from` is the digest of all files that it was made from."""

    version: str
    python: str
    made_from: str
    order: int
    """Counts the installations on this machine; a clock is no help on one that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A finished release."""

    path: Path
    facts: Facts

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"


class Tree:
    """/opt/homevigil, or a folder that stands for it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._releases = place / "releases"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Only one installation at a time. Raises `BusyError`."""
        self._releases.mkdir(parents=True, exist_ok=True)
        with (self.place / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError("another installation is under way on this machine: wait until it has ended") from None
            yield

    def releases(self) -> list[Release]:
        """Those that are finished, the one that was installed first first."""
        found = [Release(path=path, facts=facts) for path in self._folders() if (facts := _facts(path)) is not None]
        return sorted(found, key=lambda release: release.facts.order)

    def named(self, name: str) -> Release:
        """Raises `NoSuchReleaseError`."""
        for release in self.releases():
            if release.name == name:
                return release
        there = ", ".join(release.name for release in self.releases()) or "none"
        raise NoSuchReleaseError(f"there is no release {name!r} here; there are: {there}")

    @property
    def current(self) -> Release | None:
        """The release that runs, or is to run."""
        return self._led_to("current")

    @property
    def previous(self) -> Release | None:
        """The release that ran before it."""
        return self._led_to("previous")

    def make(
        self, *, version: str, python: str, made_from: str, build: Callable[[Path], None], again: bool = False
    ) -> Release:
        """The release of these files for this Python: the one here, else, or `again`, what `build` puts into a new folder.

        A folder that is not finished has a dot before its name; those of interrupted installations are removed here.
        """
        for left in self._releases.glob(".*"):
            shutil.rmtree(left)
        for release in self.releases():
            same = (release.facts.version, release.facts.python, release.facts.made_from) == (
                version,
                python,
                made_from,
            )
            if same and not again:
                return release
        path = self._free_name(f"{version}-py{python}")
        unfinished = path.with_name(f".{path.name}")
        try:
            build(unfinished)
        except BaseException:  # a full disk above all: the gateway that runs needs the room for its readings
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        order = 1 + max((release.facts.order for release in self.releases()), default=0)
        facts = Facts(version=version, python=python, made_from=made_from, order=order)
        (unfinished / FACTS).write_text(json.dumps(asdict(facts)) + "\n")
        # Thousands of files: their bytes are on the disk before a name says that they are all there.
        subprocess.run(["sync", "--file-system", str(unfinished)], check=True)
        unfinished.rename(path)
        sync_folder(self._releases)
        return Release(path=path, facts=facts)

    @property
    def proven(self) -> Release | None:
        """The last release that was found well here."""
        return self._led_to("proven")

    def switch(self, release: Release, *, on_trial: bool) -> None:
        """From here on `release` is the one that runs; what ran until now is `previous`, even if this is interrupted.

        `on_trial`: until `accept` it is marked as one from which the machine is to go back by itself.
        """
        before, previous = self.current, self.previous
        if before is None or not on_trial:
            self._prove(release)  # nobody has ever run here: there is nothing better to be watched by
        elif before.name != release.name:
            if self.proven is None:
                self._prove(before, release)
            back = None if previous is None or previous.name == release.name else previous.name
            trial.begin(self.place, Trial(release=release.name, before=before.name, previous=back))
        if before is not None and before.name != release.name:
            self._lead("previous", before)
        self._lead("current", release)

    def accept(self, release: Release) -> None:
        """It has been found well."""
        self._prove(release)
        trial.end(self.place)

    def take_back(self, before: Release, previous: Release | None) -> None:
        """As it was before a `switch`: nobody is to go back, later, to what did not run well."""
        self._lead("current", before)
        if previous is not None:
            self._lead("previous", previous)
        else:
            (self.place / "previous").unlink(missing_ok=True)
        trial.end(self.place)

    def prune(self, *, kept: int = KEPT) -> list[Release]:
        """Remove the oldest past `kept`, but never one that runs, watches, or may be gone back to. Returns what has gone."""
        needed = {release.name for release in (self.current, self.previous, self.proven) if release is not None}
        if (marked := trial.on_trial(self.place)) is not None:
            needed |= {marked.release, marked.before}
        spare = [release for release in self.releases() if release.name not in needed]
        gone = spare[: max(0, len(spare) + len(needed) - kept)]
        for release in gone:
            unfinished = release.path.with_name(f".{release.name}")  # half removed is not finished either
            release.path.rename(unfinished)
            shutil.rmtree(unfinished)
        return gone

    def _folders(self) -> list[Path]:
        if not self._releases.is_dir():
            return []
        return [path for path in self._releases.iterdir() if path.is_dir() and not path.name.startswith(".")]

    def _led_to(self, link: str) -> Release | None:
        path = self.place / link
        if not path.is_symlink():
            return None
        target = self._releases / path.readlink().name
        facts = _facts(target)
        return Release(path=target, facts=facts) if facts is not None else None

    def _prove(self, *candidates: Release) -> None:
        """The first of them that brings what watches; a release from before there was such a thing is never trusted with it."""
        for release in candidates:
            if (release.path / WATCH).exists():
                self._lead("proven", release)
                return

    def _lead(self, link: str, release: Release) -> None:
        replace_link(self.place / link, Path("releases") / release.name)

    def _free_name(self, wanted: str) -> Path:
        """A name that no finished release has; a damaged one keeps its own until it is pruned, since it may be running."""
        path, number = self._releases / wanted, 1
        while path.exists():
            number += 1
            path = self._releases / f"{wanted}-{number}"
        return path


def replace_link(link: Path, target: Path) -> None:
    """Make or move a symlink in one step, and have it on the disk when this returns."""
    if link.is_symlink() and link.readlink() == target:
        return
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
    sync_folder(link.parent)


def _facts(path: Path) -> Facts | None:
    try:
        return Facts(**json.loads((path / FACTS).read_text()))
    except (OSError, ValueError, TypeError):
        return None
