"""One command puts a release on a machine, any other follows it, and what does not run well is taken back by itself."""

import fcntl
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
from fix_release import Home, amend, another

from deploy.release import build
from gateway import outbox_file

DIES_AT_ONCE = ('systemd.notify("READY=1")', 'raise SystemExit("a mistake in this version")')
FALLS_OVER = (
    'systemd.notify("READY=1")',
    'systemd.notify("READY=1"); asyncio.get_running_loop().call_later(0.1, os._exit, 1); import os',
)


def test_before_it_is_enrolled_it_is_there_and_waits(home: Home, bundle: Path) -> None:
    done = home.install(bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sudo homevigil-gateway enrol" in done.stdout
    assert home.pid == 0
    assert home.current == build.version()
    assert (home.root / "usr/local/bin/homevigil-gateway").readlink() == Path(
        "/opt/homevigil/current/bin/homevigil-gateway"
    )
    wanted = home.root / "etc/systemd/system/multi-user.target.wants/homevigil-gateway.service"
    assert wanted.resolve().name == "homevigil-gateway.service"
    assert (home.state.stat().st_mode & 0o777, home.settings.stat().st_mode & 0o777) == (0o700, 0o640)


def test_what_is_configured_is_started_and_said_to_run(home: Home, bundle: Path) -> None:
    home.configure()
    done = home.install(bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert home.pid > 0
    assert done.stdout.splitlines()[-1].endswith(" runs")


def test_installing_the_same_again_changes_nothing_but_starts_it_anew(home: Home, bundle: Path) -> None:
    home.configure()
    home.install(bundle)
    first = home.pid
    assert home.install(bundle).returncode == 0
    assert home.pid not in (0, first)
    assert len(home.tree.releases()) == 1


def test_a_release_that_was_spoilt_on_the_card_is_laid_out_anew(home: Home, bundle: Path) -> None:
    home.configure()
    home.install(bundle)
    spoilt = home.tree.current
    assert spoilt is not None
    next(spoilt.path.glob("lib/*/site-packages/gateway/outbox.py")).write_text("\0")
    assert home.install(bundle).returncode == 1
    assert home.install(bundle, "--again").returncode == 0
    fresh = home.tree.current
    assert fresh is not None
    assert fresh.name != spoilt.name
    assert home.pid > 0


def test_an_upgrade_from_its_tar_skips_versions_and_leaves_settings_and_outbox(
    home: Home, bundle: Path, tmp_path: Path
) -> None:
    home.configure()
    home.install(bundle)
    before = (home.settings.read_bytes(), _epoch(home), (home.state / "outbox.sqlite3").stat().st_ino)
    later = another(bundle, tmp_path / "later", version="7.3.1")
    build.pack(later, tmp_path / "later.tar")
    done = home.release("upgrade", str(tmp_path / "later.tar"))
    assert done.returncode == 0, done.stderr
    assert home.current == "7.3.1"
    assert (home.settings.read_bytes(), _epoch(home), (home.state / "outbox.sqlite3").stat().st_ino) == before
    assert list(home.tree.place.glob("incoming-*")) == []
    assert [line.split("  ")[1:] for line in home.release("list").stdout.splitlines()] == [["ran before"], ["runs"]]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(DIES_AT_ONCE, id="before it is ready", marks=pytest.mark.full),
        pytest.param(FALLS_OVER, id="after it"),
    ],
)
def test_a_version_that_does_not_run_well_is_taken_back_by_itself(
    home: Home, bundle: Path, tmp_path: Path, fault: tuple[str, str]
) -> None:
    home.configure()
    home.install(bundle)
    bad = another(bundle, tmp_path / "bad", version="0.2.0", gateway_app=fault)
    done = home.install(bad)
    assert done.returncode == 1
    assert f"{build.version()}-py" in done.stderr
    assert "runs again" in done.stderr
    assert home.current == build.version()
    assert home.tree.previous is None, "nobody is to go back to the bad one"
    assert home.pid > 0


def test_a_version_that_cannot_be_loaded_never_stops_the_one_that_runs(
    home: Home, bundle: Path, tmp_path: Path
) -> None:
    home.configure()
    home.install(bundle)
    running = home.pid
    bad = another(bundle, tmp_path / "bad", version="0.2.0", gateway_uplink=("import", "import nothing_of_this_name;"))
    done = home.install(bad)
    assert done.returncode == 1
    assert "does not run on this machine" in done.stderr
    assert (home.current, home.pid) == (build.version(), running)


def test_an_older_build_refuses_a_newer_outbox_and_the_newer_build_runs_again(
    home: Home, bundle: Path, tmp_path: Path
) -> None:
    """Nothing is deleted: the file is byte for byte the newer build's."""
    home.configure()
    known = outbox_file.SCHEMA_VERSION
    is_next = (f"SCHEMA_VERSION: Final = {known}", f"SCHEMA_VERSION: Final = {known + 1}")
    newer = another(bundle, tmp_path / "newer", version="9.0.0", gateway_outbox_file=is_next)
    assert home.install(newer).returncode == 0
    epoch = _epoch(home)
    done = home.install(bundle)
    assert done.returncode == 1
    assert "9.0.0-py" in done.stderr
    assert "runs again" in done.stderr
    assert home.current == "9.0.0"
    assert home.pid > 0
    assert _epoch(home) == epoch
    assert "newer" in (home.root / "run/log").read_text()


def test_rolling_back_is_one_word_and_so_is_coming_forth_again(home: Home, bundle: Path, tmp_path: Path) -> None:
    home.install(bundle, service=False)
    assert home.release("rollback", service=False).returncode == 1
    home.install(another(bundle, tmp_path / "later", version="0.2.0"), service=False)
    home.configure()
    for version in (build.version(), "0.2.0"):
        done = home.release("rollback")
        assert done.returncode == 0, done.stderr
        assert home.current == version
        assert home.pid > 0
    refused = home.release("rollback", "0.0.1-py3.11", service=False)
    assert refused.returncode == 1
    assert "0.2.0-py" in refused.stderr


def test_a_release_from_before_there_was_a_watch_is_upgraded_and_never_watches(
    home: Home, bundle: Path, tmp_path: Path
) -> None:
    home.configure()
    old = another(bundle, tmp_path / "old", version="0.0.9")
    for file in ("bin/homevigil-trial", "units/homevigil-trial.path", "units/homevigil-trial.service"):
        (old / file).unlink()
    build.seal(old)
    assert home.install(old).returncode == 0
    assert home.tree.proven is None
    for step in (lambda: home.install(bundle), lambda: home.release("rollback"), lambda: home.release("rollback")):
        done = step()
        assert done.returncode == 0, done.stderr
        assert home.tree.proven is not None
        assert home.tree.proven.facts.version == build.version()
    watch = home.root / "etc/systemd/system/homevigil-trial.path"
    assert (home.root / str(watch.readlink()).lstrip("/")).exists()


def test_three_releases_stay_and_never_the_one_to_go_back_to_is_removed(
    home: Home, bundle: Path, tmp_path: Path
) -> None:
    for number in range(2, 6):
        home.install(another(bundle, tmp_path / f"{number}", version=f"0.{number}.0"), service=False)
    assert [release.facts.version for release in home.tree.releases()] == ["0.3.0", "0.4.0", "0.5.0"]
    home.release("rollback", home.tree.releases()[0].name, service=False)
    home.release("prune", "--keep=1", service=False)
    assert [release.facts.version for release in home.tree.releases()] == ["0.3.0", "0.5.0"]


def test_units_that_a_release_does_not_have_go_when_it_comes(home: Home, bundle: Path, tmp_path: Path) -> None:
    more = another(bundle, tmp_path / "more", version="0.2.0")
    (more / "units/homevigil-more.path").write_text("[Path]\nPathExists=/x\n[Install]\nWantedBy=multi-user.target\n")
    build.seal(more)
    units = home.root / "etc/systemd/system"
    links = [units / "homevigil-more.path", units / "multi-user.target.wants/homevigil-more.path"]
    home.install(more, service=False)
    assert all(link.is_symlink() for link in links)
    home.install(bundle, service=False)
    assert not any(link.is_symlink() for link in links)
    assert (units / "multi-user.target.wants/homevigil-gateway.service").is_symlink()


@pytest.mark.parametrize("harm", ["changed", "missing", "added"])
def test_a_release_that_is_not_whole_is_refused_before_anything_is_done(
    home: Home, bundle: Path, tmp_path: Path, harm: str
) -> None:
    harmed = another(bundle, tmp_path / "harmed", version="0.2.0")
    unit = harmed / "units/homevigil-gateway.service"
    text = unit.read_bytes()
    unit.unlink()
    if harm == "changed":
        unit.write_bytes(text + b" ")
    elif harm == "added":
        unit.write_bytes(text)
        unit.with_name("more.service").write_bytes(text)
    done = home.install(harmed)
    assert done.returncode == 1
    assert "service" in done.stdout + done.stderr
    assert home.tree.releases() == []


def test_with_a_key_on_the_machine_only_what_is_signed_with_it_is_taken(
    home: Home, bundle: Path, tmp_path: Path
) -> None:
    keys = [tmp_path / "key.pem", tmp_path / "other.pem"]
    for key in keys:
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    pinned = home.root / "etc/homevigil/release.pub"
    pinned.parent.mkdir()
    subprocess.run(["openssl", "pkey", "-in", keys[0], "-pubout", "-out", pinned], check=True)
    folder = another(bundle, tmp_path / "signed", version="0.2.0")
    assert "nothing has been changed" in home.install(folder).stderr
    build.seal(folder, sign_with=keys[1])
    assert home.install(folder).returncode == 1
    build.seal(folder, sign_with=keys[0])
    done = home.install(folder)
    assert done.returncode == 0, done.stderr
    assert "signed with the key" in done.stdout


def test_a_release_for_another_machine_is_refused_in_words(home: Home, bundle: Path, tmp_path: Path) -> None:
    other = another(bundle, tmp_path / "other", version="0.2.0")
    amend(other, machine="riscv64")
    done = home.install(other)
    assert done.returncode == 1
    assert "this release is for riscv64" in done.stderr


def test_a_second_installation_at_the_same_time_is_refused(home: Home, bundle: Path) -> None:
    home.tree.place.mkdir(parents=True)
    with (home.tree.place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = home.install(bundle)
    assert done.returncode == 1
    assert "under way" in done.stderr


def test_a_tar_that_leaves_its_folder_is_refused(home: Home, bundle: Path, tmp_path: Path) -> None:
    home.install(bundle)
    (tmp_path / "evil").write_text("")
    subprocess.run(["tar", "-cPf", tmp_path / "evil.tar", f"{tmp_path}/../{tmp_path.name}/evil"], check=True)
    done = home.release("upgrade", str(tmp_path / "evil.tar"))
    assert done.returncode == 1
    assert "not a file of a release" in done.stderr


def test_uninstalling_keeps_readings_and_settings(home: Home, bundle: Path) -> None:
    home.configure()
    home.install(bundle)
    assert home.release("uninstall").returncode == 0
    assert home.pid == 0
    assert not home.tree.place.exists()
    assert list((home.root / "usr/local/bin").iterdir()) == []
    assert [path.name for path in (home.root / "etc/systemd/system").rglob("*.service")] == []
    assert (home.state / "outbox.sqlite3").exists()
    assert home.settings.exists()


def test_purging_must_be_said_twice(home: Home, bundle: Path) -> None:
    home.configure()
    home.install(bundle)
    once = home.release("uninstall", "--purge")
    assert once.returncode == 1
    assert "not sent yet" in once.stderr
    assert home.pid > 0
    assert home.release("uninstall", "--purge", "--purge").returncode == 0
    assert not home.state.exists()
    assert not home.settings.exists()


def _epoch(home: Home) -> str:
    """The outbox's own name for itself: a new file would have a new one."""
    with sqlite3.connect(home.state / "outbox.sqlite3") as outbox:
        ((epoch,),) = outbox.execute("select epoch from life").fetchall()
    return str(epoch)


def test_the_tests_user_owns_what_was_installed(home: Home, bundle: Path) -> None:
    home.install(bundle)
    assert home.state.stat().st_uid == os.getuid()
