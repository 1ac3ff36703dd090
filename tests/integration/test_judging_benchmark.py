"""`benchmarks.judging` on a small scale, in a real PostgreSQL."""

import json
from collections.abc import Iterator

import pytest
import structlog

from benchmarks import judging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A benchmark is a program of its own and says what it logs."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def batch(months: int, rules_us: float, rows_in_view: float = 100.0) -> judging.Batch:
    return judging.Batch(patients=100, months=months, rows_in_view=rows_in_view, rules_us=rules_us, whole_us=5000.0)


def test_patients_with_any_history_are_judged_and_only_what_is_in_view_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judging, "HISTORY_PATIENTS", 3)
    monkeypatch.setattr(judging, "SINGLES", 4)
    monkeypatch.setattr(judging, "UNEVEN_AT_MOST", 10.0)
    assert judging.main(["--patients", "5"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(each["patients"], each["months"]) for each in said["batches"]] == [(1, 1), (3, 1), (5, 1)]
    assert [each["months"] for each in said["histories"]] == [1, 4, 16]
    views = [each["rows_in_view"] for each in said["histories"]]
    assert 0 < max(views) <= 1.2 * min(views)


@pytest.mark.parametrize(("dearest", "code"), [(12.4, 0), (12.6, 1)])
def test_more_history_may_not_cost_more(dearest: float, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert judging._tell([batch(1, 10.0)], [batch(1, 10.0), batch(4, 10.0), batch(16, dearest)]) == code
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["is_well"] == (code == 0)


def test_more_history_may_not_come_into_view(capsys: pytest.CaptureFixture[str]) -> None:
    assert judging._tell([batch(1, 10.0)], [batch(1, 10.0), batch(16, 10.0, rows_in_view=400.0)]) == 1
    assert "rows in view" in capsys.readouterr().out
