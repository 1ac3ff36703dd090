"""The campaign in its small size, by its real command; and that the campaign itself cannot pass over what it finds."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from faults import campaign, plan, report, results, rings
from faults.trial import BadBuild, Ring, Size, Tally, Trial

ROOT = Path(__file__).parents[2]
SEED_ENV = "FAULTS_SEED"


def faults(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "homevigil", "faults", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def seed() -> int:
    """The same at every run, so that a change is judged by itself; who wants to look elsewhere says so."""
    return int(os.environ.get(SEED_ENV) or 1)


@pytest.mark.timeout(1500)
def test_nothing_is_lost_or_doubled_and_bad_builds_are_caught(capsys: pytest.CaptureFixture[str]) -> None:
    done = faults("--json", "--seed", str(seed()))
    with capsys.disabled():
        print(f"\n{done.stderr}")
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert done.returncode == 0, done.stderr[-3000:]
    assert said["well"]
    assert set(said["rings"]) == {module.split("_")[0].upper() for module in rings.modules()} - set(said["not_run"])
    assert min(counts["trials"] for counts in said["rings"].values()) > 0
    assert min(said["readings"], said["kills"], said["faults"]) > 0
    assert [said["lost"], said["doubled"], said["missed_pushes"], said["doubled_pushes"]] == [0, 0, 0, 0]
    assert said["bad_builds_caught"] == said["bad_builds"] > 0


# -- the campaign's own logic ------------------------------------------------------------------------------------------


def ring_of(name: str, tally: Tally) -> Ring:
    return Ring(name=name, title=name, makes="", small=3, full=30, run=lambda trial: tally)


def outcome(*reports: campaign.RingReport, wish: plan.Wish | None = None) -> report.Outcome:
    return report.Outcome(wish=wish or plan.Wish(), reports=reports, seconds=1.0)


def ring_report(tally: Tally, *, why_not: str | None = None) -> campaign.RingReport:
    planned = plan.RingPlan(module="x1_test", ring=ring_of("X1", tally), numbers=(0,), why_not=why_not)
    return campaign.RingReport(plan=planned, tally=tally)


BUILD = BadBuild(name="bad", breaks="something", ring="X1", trials=2, switch_on=lambda: None)


def test_a_quiet_campaign_is_well() -> None:
    assert outcome(ring_report(Tally(trials=3, readings=9))).faults(must_run=True) == ()


@pytest.mark.parametrize("wrong", ["lost", "doubled", "missed_pushes", "doubled_pushes"])
def test_one_broken_promise_is_not_well_even_if_the_ring_does_not_say_so(wrong: str) -> None:
    assert outcome(ring_report(Tally(trials=3, **{wrong: 1}))).faults(must_run=False)


def test_a_failure_in_words_is_not_well() -> None:
    assert outcome(ring_report(Tally(trials=3, failures=("the account does not balance",)))).faults(must_run=False)


def test_a_bad_build_that_passes_is_not_well() -> None:
    passed = ring_report(Tally(trials=3))
    passed.attempts.append(campaign.Attempt(build=BUILD, tried=2))
    assert outcome(passed).faults(must_run=False) == ("bad build bad passed 2 trials of X1",)
    passed.attempts[0].caught_by = 2
    assert outcome(passed).faults(must_run=False) == ()


def test_a_ring_that_cannot_run_is_a_failure_where_it_must_run_or_was_asked_for() -> None:
    absent = ring_report(Tally(), why_not="no tool")
    assert outcome(absent).faults(must_run=False) == ()
    assert outcome(absent).faults(must_run=True) == ("X1 could not run: no tool",)
    assert outcome(absent, wish=plan.Wish(rings=("X1",))).faults(must_run=False) == ("X1 could not run: no tool",)


def test_tallies_add_up() -> None:
    first = Tally(trials=1, readings=2, kills=3, faults=4, failures=("a",))
    both = first + Tally(trials=10, readings=20, pushes=5, failures=("b",))
    assert both == Tally(trials=11, readings=22, kills=3, faults=4, pushes=5, failures=("a", "b"))


def test_what_a_trial_raises_is_its_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(trial: Trial) -> Tally:
        raise RuntimeError("the ring itself is wrong")

    monkeypatch.setattr(rings, "ring", lambda module: replace(ring_of("X1", Tally()), run=break_down))
    trial = Trial(ring="X1", seed=1, number=0, size=Size.SMALL, folder=tmp_path / "trial")
    assert campaign.perform("x1_test", trial).failures == ("RuntimeError: the ring itself is wrong",)
    assert "break_down" in (trial.folder / "traceback.txt").read_text(), "its files stay"


def test_a_good_trial_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "ring", lambda module: ring_of("X1", Tally(trials=1)))
    trial = Trial(ring="X1", seed=1, number=0, size=Size.SMALL, folder=tmp_path / "trial")
    assert campaign.perform("x1_test", trial) == Tally(trials=1)
    assert not trial.folder.exists()


def test_the_replay_command_draws_the_same_trial() -> None:
    command = campaign.replay_command(plan.Wish(seed=7, size=Size.FULL), "P1", 12)
    assert command == "homevigil faults --ring P1 --seed 7 --full --trial 12"
    (again,) = plan.plan(plan.Wish(seed=7, size=Size.FULL, rings=("P1",), trial=12))
    assert (again.numbers, again.bad_builds) == ((12,), ())
    one, other = (
        Trial(ring="P1", seed=7, number=12, size=Size.FULL, folder=Path(folder)) for folder in ("one", "other")
    )
    assert one.rng.random() == other.rng.random()
    assert one.rng.random() != replace(one, number=13).rng.random()


def test_the_parts_of_a_campaign_are_the_whole() -> None:
    whole = plan.plan(plan.Wish(rings=("P1",), size=Size.FULL))[0]
    parts = [plan.plan(plan.Wish(rings=("P1",), size=Size.FULL, part=plan.Part(index=at, of=3)))[0] for at in (1, 2, 3)]
    assert sorted(number for part in parts for number in part.numbers) == list(whole.numbers)
    assert sorted(b.name for part in parts for b in part.bad_builds) == sorted(b.name for b in whole.bad_builds)


def test_neighbouring_seeds_try_every_bad_build() -> None:
    rng = random.Random(1)
    first = rng.randrange(1000)
    whole = {b.name for b in plan.plan(plan.Wish(rings=("P1",), bad_builds="all"))[0].bad_builds}
    tried = set()
    for at in range(len(whole)):
        some = plan.plan(plan.Wish(rings=("P1",), seed=first + at))[0].bad_builds
        assert len(some) == plan.SOME_BAD_BUILDS
        tried |= {b.name for b in some}
    assert tried == whole


@pytest.mark.parametrize("arguments", [["--ring", "Z9"], ["--part", "3/2"], ["--ring", "P1", "--bad", "nonsense"]])
def test_what_is_not_understood_is_said_with_exit_code_2(arguments: list[str]) -> None:
    done = faults(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("homevigil faults: ")


def test_a_bad_build_makes_its_ring_fail_and_the_exit_code_say_so() -> None:
    done = faults("--ring", "P1", "--seed", "1", "--trial", "0", "--bad", "confirm-at-puback", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert said["lost"] > 0
    (failure,) = said["failures"]
    assert failure["again"] == "homevigil faults --ring P1 --seed 1 --trial 0 --bad confirm-at-puback"
    assert "mqtt_listening" in (Path(failure["files"]) / "intake.log").read_text(), "the logs stay"
    shutil.rmtree(Path(failure["files"]).parent)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_whoever_stops_it_is_told_what_there_is_and_nothing_stays_behind(how: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "homevigil", "faults", "--ring", "P1", "--trials", "200", "--json"]
    record = tmp_path / "standard-error"
    with record.open("wb") as says:
        running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=says, start_new_session=True)
    while "200" not in record.read_text():  # it has begun; how far it is by now, the scheduler decides
        assert running.poll() is None
    os.killpg(running.pid, how)
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 1
    assert json.loads(said)["well"] is False
    assert "stopped before its end" in record.read_text()


def test_every_ring_and_bad_build_says_what_it_does() -> None:
    for module in rings.modules():
        ring, builds = rings.ring(module), rings.bad_builds(module)
        assert ring.makes
        assert ring.small > 0
        assert ring.full > ring.small
        assert all(each.ring == ring.name and each.breaks and each.trials > 0 for each in builds), module


# -- what is published -------------------------------------------------------------------------------------------------


def test_the_page_of_results_is_what_the_record_says() -> None:
    reference = ROOT / "docs" / "reference"
    record, bugs = results.read_records(reference / "fault-results.jsonl"), results.read_bugs()
    assert (reference / "fault-results.md").read_text(encoding="utf-8") == results.page(record, bugs)


def test_parts_of_a_recorded_run_add_up_and_the_newest_run_is_shown() -> None:
    def line(**more: object) -> dict[str, object]:
        run = report.recorded(ring_report(Tally(trials=1, readings=300)), plan.Wish(seed=5), "2026-12-01")
        return run | more

    old = line(commit="old", counts=report.counts(Tally(trials=9, readings=1)))
    page = results.page([old, line(part="1/2"), line(part="2/2"), line(part="2/2")], [])
    (row,) = (row for row in page.splitlines() if row.startswith("| X1 "))
    assert "| 2 | 600 |" in row
    assert "1.5e+00 | 5.0e-03" in row


def test_a_bad_build_is_shown_as_it_was_last_tried_and_a_run_of_bad_builds_alone_hides_no_trials() -> None:
    def line(commit: str, trials: int, **caught_by: int | None) -> dict[str, object]:
        builds = [{"name": name, "breaks": "-", "tried": 3, "caught_by": after} for name, after in caught_by.items()]
        run = report.recorded(ring_report(Tally(trials=trials, readings=300)), plan.Wish(seed=5), "2026-12-01")
        return run | {"commit": commit, "bad_builds": builds}

    page = results.page([line("first", 7, a=None, b=1), line("second", 0, a=2)], [])
    assert "Bad builds: 2 of 2 caught." in page
    assert "| a | - | X1 | 2 | `second` |" in page
    assert "| b | - | X1 | 1 | `first` |" in page
    assert any(row.startswith("| X1 ") and "| 7 | 300 |" in row for row in page.splitlines())
