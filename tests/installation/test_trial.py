"""What watches over a release that nobody has found well yet: when it goes back, when it does not, and what a cut leaves.

The program itself, in a folder that stands for the machine; systemd's answers are a file, and what is asked of it is another.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.installation import trial
from gateway.installation.tree import replace_link
from gateway.installation.trial import Trial

WATCH = Path(__file__).parents[2] / "deploy/gateway/bin/homevigil-trial"
OLDEST, OLD, NEW = "0.0.9-py3.11", "0.1.0-py3.11", "0.2.0-py3.11"
RUNS: dict[str, Any] = {"LoadState": "loaded", "ActiveState": "active", "NRestarts": 0, "MainPID": 7}
WELL = RUNS | {"StatusText": f"well, as {NEW}: the clinic was reached"}
FALLS_OVER = RUNS | {"ActiveState": "activating", "NRestarts": 3, "MainPID": 0}
CUT_OFF = Trial(release=NEW, before=OLD, previous=OLDEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`opt` is /opt/homevigil."""

    opt: Path

    def systemd_says(self, **shown: object) -> None:
        started = int((time.monotonic() + 1) * 1_000_000)
        lines = {"ExecMainStartTimestampMonotonic": started, "StatusText": ""} | shown
        (self.opt.parent / "shown").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))

    def asked_of_systemd(self) -> list[str]:
        """What it was asked to do since this was called last."""
        log = self.opt.parent / "asked"
        asked = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return asked

    def leads(self, link: str) -> str | None:
        path = self.opt / link
        return path.readlink().name if path.is_symlink() else None

    @property
    def facts(self) -> dict[str, str]:
        return dict(line.partition(" ")[::2] for line in (self.opt / trial.MARK).read_text().splitlines())

    def boots(self) -> None:
        """As if what is noted had been noted before the machine started."""
        mark = self.opt / trial.MARK
        mark.write_text(mark.read_text().replace(self.facts["boot"], "another"))

    def command(self, *, every_s: float = 0.02, steady_s: int = 3600) -> list[str]:
        return [str(WATCH), str(self.opt), str(self.opt.parent / "systemctl"), str(every_s), str(steady_s)]

    def watches(self, **how: Any) -> str:
        """Until it ends by itself, which it does when nothing is on trial any more; what it says."""
        done = subprocess.run(self.command(**how), capture_output=True, text=True, check=True, timeout=20)
        assert done.stderr == ""
        return done.stdout

    def looks(self, times: int = 3) -> None:
        """For so many looks, and nothing is decided at any."""
        before = (self.leads("current"), self.leads("proven"))
        with subprocess.Popen(self.command()) as watch:
            looked = self.opt.parent / "looked"
            looked.unlink(missing_ok=True)
            until = time.monotonic() + 20
            while not looked.exists() or looked.stat().st_size < times:
                assert time.monotonic() < until
                assert watch.poll() is None
            watch.kill()
        assert (self.leads("current"), self.leads("proven")) == before


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """An upgrade from the old release to the new one was cut off after `current` had moved."""
    opt = tmp_path / "opt"
    for name in (OLDEST, OLD, NEW):
        (opt / "releases" / name / "bin").mkdir(parents=True)
        (opt / "releases" / name / "bin/python").symlink_to("/bin/true")
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        f'#!/bin/sh\n[ "$1" = show ] || {{ echo "$*" >> {tmp_path}/asked; exit 0; }}\n'
        f"cat {tmp_path}/shown; printf . >> {tmp_path}/looked\n"
    )
    systemctl.chmod(0o755)
    machine = Machine(opt=opt)
    for link, name in {"previous": OLD, "proven": OLD, "current": NEW}.items():
        replace_link(opt / link, Path("releases") / name)
    trial.begin(opt, CUT_OFF)
    machine.systemd_says(**RUNS)
    yield machine
    assert not (opt / ".trial.new").exists()


def test_what_says_that_it_is_well_is_accepted_and_watches_from_now_on(machine: Machine) -> None:
    machine.systemd_says(**WELL)
    assert f"{NEW} is well" in machine.watches()
    assert (machine.leads("current"), machine.leads("previous"), machine.leads("proven")) == (NEW, OLD, NEW)
    assert machine.asked_of_systemd() == ["daemon-reload"], "nothing is started anew"


def test_a_release_that_says_another_is_well_is_not_believed(machine: Machine) -> None:
    machine.systemd_says(**RUNS | {"StatusText": f"well, as {OLD}: the clinic was reached"})
    machine.looks()


def test_what_runs_for_an_hour_without_the_clinic_is_accepted_too(machine: Machine) -> None:
    machine.watches(steady_s=1)
    assert (machine.leads("current"), machine.leads("proven")) == (NEW, NEW)


def test_what_falls_over_three_times_gives_way_to_the_one_before_which_then_must_show_that_it_runs(
    machine: Machine,
) -> None:
    for times in (0, 2):
        machine.systemd_says(**RUNS | {"NRestarts": times})
        machine.looks()
    machine.systemd_says(**FALLS_OVER)
    with subprocess.Popen(machine.command(), stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        assert f"going back to {OLD}" in watch.stdout.readline()
        _until(lambda: machine.leads("current") == OLD)
        machine.systemd_says(**RUNS | {"StatusText": f"well, as {OLD}: the clinic was reached"})
        assert watch.wait(20) == 0
    assert (machine.leads("current"), machine.leads("previous"), machine.leads("proven")) == (OLD, OLDEST, OLD)
    asked = machine.asked_of_systemd()
    assert "--no-block restart homevigil-gateway.service" in asked
    assert asked.index("daemon-reload") < asked.index("--no-block restart homevigil-gateway.service")
    assert not (machine.opt / trial.MARK).exists()


@pytest.mark.parametrize(
    "shown", [RUNS | {"LoadState": "bad-setting"}, RUNS | {"ActiveState": "failed", "MainPID": 0}], ids=str
)
def test_what_systemd_cannot_start_at_all_gives_way_at_once(machine: Machine, shown: dict[str, Any]) -> None:
    machine.systemd_says(**shown)
    machine.watches()  # the one before cannot be started either, in this folder: then the newer one stays
    assert machine.leads("current") == NEW
    assert machine.leads("previous") == OLD
    assert machine.asked_of_systemd().count("--no-block restart homevigil-gateway.service") == 2


def test_the_third_time_the_machine_goes_down_with_it_it_is_taken_back(machine: Machine) -> None:
    for _ in range(2):
        machine.boots()
        machine.looks()
    assert machine.facts["failed"] == "2"
    machine.looks()
    assert machine.facts["failed"] == "2", "one boot is counted once"
    machine.boots()
    with subprocess.Popen(machine.command(), stdout=subprocess.PIPE, text=True) as watch:
        _until(lambda: machine.leads("current") == OLD)
        watch.kill()
        watch.wait()
    assert machine.facts["release"] == OLD


def test_what_is_stopped_by_a_person_is_left_alone(machine: Machine) -> None:
    machine.systemd_says(**RUNS | {"ActiveState": "inactive", "MainPID": 0})
    machine.looks()


def test_a_systemd_that_does_not_answer_decides_nothing(machine: Machine) -> None:
    machine.systemd_says(LoadState="", ActiveState="", NRestarts="", MainPID="", ExecMainStartTimestampMonotonic="")
    machine.looks()


def test_while_an_installation_is_under_way_it_only_looks(machine: Machine) -> None:
    machine.systemd_says(**FALLS_OVER)
    with subprocess.Popen(["flock", str(machine.opt / "lock"), "cat"], stdin=subprocess.PIPE) as installs:
        machine.looks(times=5)
        installs.communicate()


def test_whoever_was_cut_off_before_it_was_started_has_it_started(machine: Machine) -> None:
    """The process that runs is older than the mark: it is the release before, whatever it says and however long it runs."""
    machine.systemd_says(**WELL | {"ExecMainStartTimestampMonotonic": 1_000_000, "NRestarts": 9})
    machine.looks()
    assert "--no-block restart homevigil-gateway.service" in machine.asked_of_systemd()
    assert machine.leads("proven") == OLD


def test_a_mark_of_a_release_that_does_not_run_is_of_no_matter(machine: Machine) -> None:
    replace_link(machine.opt / "current", Path("releases") / OLD)
    machine.systemd_says(**FALLS_OVER)
    machine.watches()
    assert (machine.leads("current"), machine.asked_of_systemd()) == (OLD, [])


@pytest.mark.parametrize("text", ["", "release\n", "nonsense", f"release {NEW}\n"])
def test_a_mark_that_says_nothing_is_taken_away(machine: Machine, text: str) -> None:
    (machine.opt / trial.MARK).write_text(text)
    assert trial.on_trial(machine.opt) is None
    machine.watches()
    assert machine.leads("current") == NEW


def test_a_release_before_whose_python_has_gone_is_not_gone_back_to(machine: Machine) -> None:
    (machine.opt / "releases" / OLD / "bin/python").unlink()
    machine.systemd_says(**FALLS_OVER)
    assert "cannot run here any more" in machine.watches()
    assert (machine.leads("current"), machine.asked_of_systemd()) == (NEW, [])


@pytest.mark.parametrize("program", ["mv", "ln", "sync", "rm"])
def test_cut_off_at_every_step_it_comes_to_the_same(machine: Machine, program: str, tmp_path: Path) -> None:
    """Every program that changes anything is once where the power goes, before it has done its work and after."""
    machine.systemd_says(**FALLS_OVER | {"NRestarts": 3})
    kept = tmp_path / "kept"
    shutil.copytree(machine.opt, kept, symlinks=True)
    cuts = 0
    for when in ("before", "after"):
        nth, was_cut = 0, True
        while was_cut:
            nth += 1
            shutil.rmtree(machine.opt)
            shutil.copytree(kept, machine.opt, symlinks=True)
            machine.asked_of_systemd()
            was_cut = _watch_with_a_cut(machine, program, nth, when, tmp_path)
            cuts += was_cut
            assert machine.leads("current") in (OLD, NEW), (program, when, nth)
            assert (machine.opt / "current").resolve().is_dir()
            machine.watches()
            where = (program, when, nth)
            assert (machine.leads("current"), machine.leads("proven")) == (NEW, OLD), where
            assert not (machine.opt / trial.MARK).exists(), where
            assert "--no-block restart homevigil-gateway.service" in machine.asked_of_systemd(), where
    assert cuts >= 2, "there and back again, each with this program"


def _watch_with_a_cut(machine: Machine, program: str, nth: int, when: str, tmp_path: Path) -> bool:
    """Whether it was cut: the nth call of the program kills who has called it."""
    programs = tmp_path / "programs"
    shutil.rmtree(programs, ignore_errors=True)
    programs.mkdir()
    count = programs / "count"
    real = shutil.which(program)
    cut = "kill -KILL $PPID"
    instead = programs / program
    instead.write_text(
        f"#!/bin/sh\nprintf . >> {count}\nn=$(wc -c < {count})\n"
        f'if [ "$n" = {nth} ] && [ {when} = before ]; then {cut}; exit 1; fi\n'
        f'{real} "$@"; done=$?\n'
        f'if [ "$n" = {nth} ] && [ {when} = after ]; then {cut}; fi\nexit $done\n'
    )
    instead.chmod(0o755)
    done = subprocess.run(
        ["env", f"PATH={programs}:/usr/bin:/bin", *machine.command()],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=20,
    )  # fmt: skip
    return done.returncode != 0


def _until(is_so: Any) -> None:
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)
