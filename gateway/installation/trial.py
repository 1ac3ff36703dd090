"""The mark of a release that has been let run and that nobody has found well yet, beside the symlinks that say which one runs.

It is on the disk before `current` moves, and goes when somebody has found the release well. Whoever is cut off in between, by
`kill -9` or by the mains, leaves it, and a program of the release before acts on it: deploy/gateway/bin/homevigil-trial, which
reads these lines and has no Python, for that may be what does not run.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARK: Final = "trial"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """`release` is on trial; if it does not run well, `before` is to run, with `previous` as the one before that."""

    release: str
    before: str
    previous: str | None


def begin(place: Path, trial: Trial) -> None:
    """Durable when this returns."""
    facts = {
        "release": trial.release,
        "before": trial.before,
        "previous": trial.previous or "",
        "turned": "no",
        "failed": "0",
        "boot": BOOT_ID.read_text().strip(),
        "since": str(int(time.monotonic())),
    }
    fresh = place / f".{MARK}.new"
    with fresh.open("w") as file:
        file.write("".join(f"{word} {fact}\n" for word, fact in facts.items()))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(place / MARK)
    sync_folder(place)


def end(place: Path) -> None:
    """Nobody is to go back."""
    (place / MARK).unlink(missing_ok=True)
    sync_folder(place)


def on_trial(place: Path) -> Trial | None:
    """What is on trial here, whoever has written it down; None if nothing is."""
    try:
        lines = (place / MARK).read_text().splitlines()
    except FileNotFoundError:
        return None
    facts = dict(line.partition(" ")[::2] for line in lines)
    if not facts.get("release") or not facts.get("before"):
        return None
    return Trial(release=facts["release"], before=facts["before"], previous=facts.get("previous") or None)


def sync_folder(folder: Path) -> None:
    """Names that have been made, moved or taken away in it are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
