"""Whoever kills an installation, at whatever call to the kernel: the old release or the new one is whole and is what runs.

strace kills the installing process instead of the call, so nothing in the product knows of it. When the mains fail it is the
same, as far as the order of writes goes: before a name appears everything behind it has been synced.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fix_release import Home, another, bare

from deploy.release import build

NAMES = ("rename", "symlink")
"""Calls by which a name appears or moves: all of them are tried."""
BULK = ("unlink", "chmod", "fsync", "mkdir", "openat", "vfork", "rmdir", "flock")
"""All other calls that change something, up to thousands: at a few places each."""

LOADS = "import gateway.app, gateway.bleak_radio, gateway.carrier, gateway.outbox"


@pytest.fixture(scope="module")
def later(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return another(bundle, tmp_path_factory.mktemp("later") / "homevigil-gateway", version="0.2.0")


def test_killed_at_every_name_that_it_makes_or_moves(
    home: Home, bundle: Path, later: Path, strace: str, tmp_path: Path
) -> None:
    calls = counted(home, bundle, later, strace, tmp_path / "calls", NAMES)
    assert calls["rename"] == 4, "the release, `proven`, `previous`, `current`"
    for call, count in calls.items():
        for nth in range(1, count + 1):
            killed_once(home, bundle, later, strace, call, nth)


@pytest.mark.parametrize(
    ("names", "runs_well"),
    [
        (("rename",), False),
        pytest.param(NAMES, True, marks=pytest.mark.full),
        pytest.param(NAMES, False, marks=pytest.mark.full),
    ],
)
def test_killed_at_every_name_while_a_service_runs_it_is_judged_without_the_installation(
    home: Home, bundle: Path, later: Path, strace: str, tmp_path: Path, names: tuple[str, ...], runs_well: bool
) -> None:
    """Between the mark and its end, whoever is cut off leaves somebody who watches, and who is not of the newer release."""
    home.configure()
    says = systemd_that_says(home, tmp_path, runs_well=runs_well)
    watched = 0
    calls = counted(home, bundle, later, strace, tmp_path / "calls", names)
    for call, count in calls.items():
        for nth in range(1, count + 1):
            start_from(home, bundle)
            inject = [f"--inject={call}:signal=KILL:when={nth}", f"--trace={call}"]
            where = (call, nth, traced(home, later, strace, inject, Path("/dev/null")).returncode)
            current, place = home.tree.current, home.tree.place
            assert current is not None, where
            if current.facts.version == "0.2.0" and not (place / "trial").exists():
                assert home.tree.proven == current, where
                continue
            watch = place / "proven/bin/homevigil-trial"
            if (place / "trial").exists():
                watched += current.facts.version == "0.2.0"
                subprocess.run([watch, place, says, "0.01"], check=True, capture_output=True, timeout=30)
            after = home.tree.current
            assert after is not None, where
            assert after == current if runs_well else after.facts.version == build.version(), where
            assert not (place / "trial").exists(), where
    assert watched > 0


def systemd_that_says(home: Home, tmp_path: Path, *, runs_well: bool) -> Path:
    """The newer release falls over and the older one runs; or both run."""
    newer_says = "well" if runs_well else "it falls over"
    says = tmp_path / "systemctl"
    says.write_text(
        "#!/bin/sh\n"
        f"runs=$(readlink {home.tree.place}/current); runs=${{runs##*/}}\n"
        'case $runs in 0.2.0*) word="' + newer_says + '" restarts=5 ;; *) word=well restarts=0 ;; esac\n'
        'printf "%s\\n" LoadState=loaded ActiveState=active "NRestarts=$restarts" MainPID=7 '
        'ExecMainStartTimestampMonotonic=99999999999000000 "StatusText=$word, as $runs: yes"\n'
    )
    says.chmod(0o755)
    return says


@pytest.mark.full
def test_a_first_installation_that_was_killed_is_finished_by_the_next(
    home: Home, bundle: Path, strace: str, tmp_path: Path
) -> None:
    for nth in range(1, 20):
        inject = [f"--inject=rename:signal=KILL:when={nth}", "--trace=rename"]
        done = traced(home, bundle, strace, inject, Path("/dev/null"))
        if done.returncode == 0:
            break
        assert home.tree.current is None or home.tree.current.python.exists()
        assert home.install(bundle, service=False).returncode == 0
        assert (home.root / "usr/local/bin/homevigil-gateway").is_symlink()
        for part in ("opt", "usr", "var", "etc/systemd", "etc/homevigil"):
            shutil.rmtree(home.root / part)
    assert nth > 6, "the release, `current`, the settings, two commands, a unit and who wants it"


@pytest.mark.full
def test_killed_in_the_bulk_of_the_work(home: Home, bundle: Path, later: Path, strace: str, tmp_path: Path) -> None:
    calls = counted(home, bundle, later, strace, tmp_path / "calls", BULK)
    assert calls["openat"] > 1000
    for call, count in calls.items():
        for nth in sorted({1 + (count - 1) * part // 7 for part in range(8)}):
            killed_once(home, bundle, later, strace, call, nth)


def killed_once(home: Home, bundle: Path, later: Path, strace: str, call: str, nth: int) -> None:
    """An upgrade that is killed with the nth such call; then what is there runs; then the same command finishes the work."""
    start_from(home, bundle)
    inject = [f"--inject={call}:signal=KILL:when={nth}", f"--trace={call}"]
    done = traced(home, later, strace, inject, Path("/dev/null"))
    assert done.returncode != 0, (call, nth, done.stdout)
    where = (call, nth)
    current = home.tree.current
    assert current is not None, where
    assert current.facts.version in (build.version(), "0.2.0"), where
    loads = subprocess.run([current.python, "-I", "-c", LOADS], capture_output=True, text=True, check=False)
    assert loads.returncode == 0, (where, loads.stderr)
    unit = home.root / "etc/systemd/system/homevigil-gateway.service"
    assert (home.root / str(unit.readlink()).lstrip("/")).exists(), where
    assert home.install(later, service=False).returncode == 0, where
    assert home.current == "0.2.0"
    assert [path.name for path in home.tree.place.rglob(".*") if path.parent.name in ("releases", "homevigil")] == []


def counted(home: Home, bundle: Path, later: Path, strace: str, log: Path, names: tuple[str, ...]) -> dict[str, int]:
    """How often an upgrade makes each call, in the process that installs."""
    start_from(home, bundle)
    done = traced(home, later, strace, [f"--trace={','.join(names)}"], log)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE)
    return {name: found.count(name) for name in names if name in found}


def traced(home: Home, bundle: Path, strace: str, options: list[str], log: Path) -> "subprocess.CompletedProcess[str]":
    """Without -f: strace follows the installing process alone, which has begun as the shell of ./install."""
    command = [strace, "-qq", "-o", str(log), *options, str(bundle / "install"), f"--root={home.root}"]
    return subprocess.run(command, env=bare(), capture_output=True, text=True, check=False, timeout=120)


def start_from(home: Home, bundle: Path) -> None:
    """The older release alone is there."""
    if home.tree.place.exists():
        shutil.rmtree(home.tree.place)
        shutil.rmtree(home.root / "usr")
        shutil.rmtree(home.root / "etc/systemd")
    kept = home.root / "older"
    if not kept.exists():
        assert home.install(bundle, service=False).returncode == 0
        shutil.copytree(home.root, kept, symlinks=True, ignore=lambda _, names: {"older", "run"} & set(names))
        return
    for part in ("opt/homevigil", "usr", "etc/systemd"):
        shutil.copytree(kept / part, home.root / part, symlinks=True)
