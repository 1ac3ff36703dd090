"""The straight line of an installation, and the way back: every step either changes nothing that runs or is one rename."""

import sys
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from gateway.installation.bundle import Bundle
from gateway.installation.host import Host
from gateway.installation.tree import Release
from gateway.installation.wheels import read_list, unpack_all

IMPORT_ALL: Final = """
import importlib, pkgutil, gateway, vitals
for room in (gateway, vitals):
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
"""Every module of the gateway with all that it needs: does it run here? It also leaves the bytecode, since no service can."""


class NotInstalledError(Exception):
    """What runs is what ran before. The sentence says why."""


def install(bundle: Bundle, host: Host, say: Callable[[str], None], *, again: bool = False) -> Release:
    """Lay the release beside the others, then let it run; if it does not run well, the one before runs again.

    Raises `NotInstalledError`, `NotWholeError`, `BusyError`. Killed at any point, it leaves the old
    release or the new one whole and `current`; calling it again finishes the work.
    """
    tree = host.tree
    with tree.alone():
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        say(f"laying out {bundle.version} for Python {python}")
        release = tree.make(
            version=bundle.version,
            python=python,
            made_from=bundle.made_from,
            build=partial(_build, bundle),
            again=again,
        )
        tried = host.run_python(release, "-c", IMPORT_ALL)
        if tried.returncode != 0:
            raise NotInstalledError(
                f"{release.name} does not run on this machine: {tried.stderr.strip()[-500:]}\n"
                "If it has run before, the card may be failing: sudo ./install --again, and a new card"
            )
        host.prepare(release)
        run(release, host, say)
        for gone in tree.prune():
            say(f"removed {gone.name}")
    return release


def run(release: Release, host: Host, say: Callable[[str], None]) -> None:
    """Let `release` run; if it does not run well, the one before runs again and `NotInstalledError` is raised."""
    before, previous = host.tree.current, host.tree.previous
    host.link(release)
    host.tree.switch(release, on_trial=host.is_configured)
    if not host.is_configured:
        host.tidy(release)
        host.reload()
        say(f"{release.name} is here; it starts when it is enrolled: sudo homevigil-gateway enrol --help")
        return
    say(f"starting {release.name}")
    wrong = host.start()
    if not wrong:
        host.tree.accept(release)
        host.tidy(release)
        host.reload()
        say(f"{release.name} runs")
        return
    if before is None or before.name == release.name:
        raise NotInstalledError(
            f"{release.name} does not run well: {wrong}. Look: journalctl -u homevigil-gateway -n 50"
        )
    say(f"{release.name} does not run well: {wrong}. Going back to {before.name}")
    host.link(before)
    host.tree.take_back(before, previous)
    still = host.start()
    host.tidy(before)
    host.reload()
    state = "runs again" if not still else f"does not run well either: {still}"
    raise NotInstalledError(
        f"{release.name} does not run well: {wrong}; {before.name} {state}. Nothing in the outbox was touched"
    )


def _build(bundle: Bundle, unfinished: Path) -> None:
    """A virtual environment of the system's Python with the bundle's wheels, and beside them what is not Python."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(unfinished)
    site = unfinished / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    unpack_all(read_list(bundle.wheels(sys.version_info[:2])), bundle.read, site)
    for folder in ("bin", "units"):
        (unfinished / folder).mkdir(exist_ok=True)
        for file in sorted((bundle.path / folder).iterdir()):
            _copy(file, unfinished / folder / file.name, mode=0o755 if folder == "bin" else 0o644)
    for name in ("gateway.env", "sysusers.conf", "README.md", "LICENSE"):
        _copy(bundle.path / name, unfinished / name, mode=0o644)


def _copy(source: Path, target: Path, *, mode: int) -> None:
    target.write_bytes(source.read_bytes())
    target.chmod(mode)
