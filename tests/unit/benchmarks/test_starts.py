"""`benchmarks.starts`: what its processes say of themselves, and what it makes of it."""

import json
import subprocess
import sys

import pytest

from benchmarks import starts

FAST = {"wall_s": 1.2, "cpu_s": 1.1, "run_s": 0.006, "edit_s": 0.007}
MEMORY = {"process": 170e6, "columns": 35_000.0, "sweep": 36_000.0}


def test_a_process_says_when_its_first_answer_is_there_and_how_long_an_edit_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert starts.main(["--child", "first"]) == 0
    first, rest = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["cpu_s"] > 0
    assert 0 < rest["edit_s"] < rest["run_s"] + starts.EDIT_S_MAX


def test_a_patient_year_of_twenty_four_bytes_a_reading_is_some_thirty_five_thousand() -> None:
    """In a process of its own: one that has run other tests has memory left over."""
    command = [sys.executable, "-m", "benchmarks.starts", "--child", "memory", "--patients", "600"]
    said = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    assert 30_000 < said["columns"] < 60_000
    assert said["sweep"] < 80_000


@pytest.mark.parametrize(("edit_s", "code"), [(0.9, 0), (1.1, 1)])
def test_an_edited_rule_may_wait_for_its_judging_only(
    edit_s: float, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = {**FAST, "edit_s": FAST["run_s"] + edit_s}
    assert starts._tell(FAST, [slow, slow, FAST], MEMORY, patients=300) == code
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["is_well"] == (code == 0)
    assert said["edit_s"] == pytest.approx(edit_s)
