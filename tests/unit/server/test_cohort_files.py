"""Patients' past in Parquet: what is written comes back, and what is not ours is refused."""

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from unit.rules import trend_histories
from unit.rules.histories import history_of

from server import cohort_files
from server.rules.backtest import Alert
from server.rules.windows import PatientHistory, PersonalThreshold, Symptom, UnheardSpan, Window, window_of
from vitals.errors import MalformedError

AT = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


def some_history(patient_id: int) -> PatientHistory:
    """Somebody who measured everything, HI and LO, suspect and orphaned."""
    made = trend_histories.some_patient(Random(patient_id), tuple(trend_histories.CENTRES), days=60)
    history = history_of(made, patient_id=patient_id)
    history.thresholds["bp-critical"] = PersonalThreshold(version=3, parameters={"systolic": 190}, is_watched=False)  # type: ignore[index]
    return replace(
        history,
        symptoms=(Symptom(at=AT, has_symptoms=True), Symptom(at=AT + timedelta(hours=1), has_symptoms=False)),
        last_counted_before=AT - timedelta(days=3, microseconds=1),
        unheard=(UnheardSpan(began=AT, ended=AT + timedelta(days=1)), UnheardSpan(began=AT, ended=None)),
    )


def columns(window: Window) -> dict[str, Any]:
    return {field.name: getattr(window, field.name) for field in fields(window)}


def test_what_is_exported_comes_back(tmp_path: Path) -> None:
    people = [some_history(patient_id) for patient_id in (1, 2, 9)]
    counts = cohort_files.export(iter(people), tmp_path)
    assert counts == (3, sum(len(each.window) for each in people))
    assert cohort_files.count(tmp_path) == 3
    back = list(cohort_files.load(tmp_path))
    assert [each.patient_id for each in back] == [1, 2, 9]
    kinds: set[int] = set()
    for before, after in zip(people, back, strict=True):
        for field in fields(PatientHistory):
            if field.name != "window":
                assert getattr(after, field.name) == getattr(before, field.name), field.name
        there = columns(after.window)
        for name, column in columns(before.window).items():
            if name == "reading_ids":
                assert tuple(there[name]) == column
            else:
                assert there[name].dtype == column.dtype, name
                np.testing.assert_array_equal(there[name], column, err_msg=name)
        kinds |= set(map(int, before.window.kind))
    assert kinds == {1, 2, 3, 4, 5, 6}


def test_more_patients_than_are_read_at_once_come_back_each_with_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohort_files, "AT_ONCE", 3)
    people = [some_history(patient_id) for patient_id in range(1, 9)]
    cohort_files.export(iter(people), tmp_path)
    back = list(cohort_files.load(tmp_path))
    assert [tuple(each.window.reading_ids) for each in back] == [tuple(each.window.reading_ids) for each in people]


def test_a_patient_without_readings_comes_back_too(tmp_path: Path) -> None:
    whole = some_history(1)
    bare = replace(whole, patient_id=2, window=window_of(()))
    assert cohort_files.export(iter([whole, bare]), tmp_path) == (2, len(whole.window))
    assert [len(each.window) for each in cohort_files.load(tmp_path)] == [len(whole.window), 0]


def test_an_export_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    cohort_files.export(iter([some_history(1), some_history(2)]), tmp_path)
    cohort_files.export(iter([some_history(3)]), tmp_path)
    assert [each.patient_id for each in cohort_files.load(tmp_path)] == [3]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["patients.parquet", "readings.parquet"]


def test_files_of_another_form_are_refused_with_what_is_wrong(tmp_path: Path) -> None:
    cohort_files.export(iter([some_history(1)]), tmp_path)
    readings = tmp_path / "readings.parquet"
    table = pq.read_table(readings)
    pq.write_table(table.drop_columns(["weight_kg"]), readings)
    with pytest.raises(MalformedError, match="no column weight_kg"):
        list(cohort_files.load(tmp_path))
    position = table.column_names.index("quality")
    pq.write_table(table.set_column(position, "quality", pa.array(["excellent"] * len(table))), readings)
    with pytest.raises(MalformedError, match="quality says 'excellent'"):
        list(cohort_files.load(tmp_path))
    pq.write_table(pa.concat_tables([table.set_column(0, "patient_id", pa.array([5] * len(table))), table]), readings)
    with pytest.raises(MalformedError, match="must lie together"):
        list(cohort_files.load(tmp_path))
    readings.write_bytes(b"not parquet")
    with pytest.raises(MalformedError, match=r"readings\.parquet"):
        list(cohort_files.load(tmp_path))


def test_alerts_are_written_one_a_row(tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    alert = Alert(
        patient_id=7,
        rule_id="bp-critical",
        rule_version=1,
        priority="medium",
        opened_at=at,
        resolved_at=None,
        told_on=date(2026, 3, 1),
        first_day=date(2026, 3, 1),
        last_day=date(2026, 3, 2),
        is_for_doctor=True,
    )
    cohort_files.write_alerts([alert], tmp_path / "alerts.parquet")
    (row,) = pq.read_table(tmp_path / "alerts.parquet").to_pylist()
    assert row == {field.name: getattr(alert, field.name) for field in fields(alert)}
