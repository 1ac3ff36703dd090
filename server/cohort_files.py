"""Patients' past in Parquet files: for back-tests away from the clinic's database, and for research. The one module for pyarrow.

A folder holds `patients.parquet` (number, enrolment, zones, own numbers, symptoms, when nothing could be heard; no name, no birth
date) and `readings.parquet` (by patient and time; units in the names; what a meter lacks is null). It is health data all the
same: who exports it answers for it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from server.rules.backtest import Alert
from server.rules.windows import (
    CENSORED_CODES,
    KIND_CODES,
    MEAL_CODES,
    QUALITY_CODES,
    TIME_CERTAIN,
    TIME_SUSPECT,
    TIME_UNUSABLE,
    PatientHistory,
    PersonalThreshold,
    ReadingIds,
    Symptom,
    UnheardSpan,
    Window,
    ZoneSpan,
)
from vitals.errors import MalformedError, UnavailableError

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as missing:  # an extra: the clinic's server does without
    raise UnavailableError("Parquet needs an extra: install homevigil[reports]") from missing

PATIENTS: Final = "patients.parquet"
READINGS: Final = "readings.parquet"

AT_ONCE: Final = 64
"""Patients whose readings are turned from columns of a file into columns of windows in one go, and back."""

ROWS_OF_A_GROUP: Final = 1 << 18
ROWS_AT_ONCE: Final = 1 << 15
"""Rows of any other table that are turned into columns in one go."""

T = TypeVar("T")

_CODES: Final[Mapping[str, Mapping[Any, int]]] = {
    "kind": KIND_CODES,
    "quality": QUALITY_CODES,
    "time_quality": {"certain": TIME_CERTAIN, "suspect": TIME_SUSPECT, "orphan": TIME_UNUSABLE},
    "censored": CENSORED_CODES,
    "meal": MEAL_CODES,
}
_INSTANTS: Final = {"measured_at": "measured_at_us", "received_at": "received_at_us"}
_NUMBERS: Final = ("systolic_mmhg", "diastolic_mmhg", "pulse_bpm", "glucose_mmol_l", "glucose_mg_dl", "weight_kg", "spo2_percent",
                   "temperature_celsius", "irregular_pulse")  # fmt: skip
_INSTANT: Final = pa.timestamp("us", tz="UTC")
_WORD: Final = pa.dictionary(pa.int8(), pa.string())
_OF_READINGS: Final = pa.schema(
    [("patient_id", pa.int64()), ("reading_id", pa.binary(16))]
    + [(name, _INSTANT) for name in _INSTANTS]
    + [(name, pa.float64()) for name in _NUMBERS]
    + [(name, _WORD) for name in _CODES]
)
_KINDS: Final = {
    "text": pa.string(),
    "texts": pa.list_(pa.string()),
    "whole": pa.int64(),
    "number": pa.float64(),
    "wall_clock": pa.timestamp("us"),
}
_OF_PATIENTS: Final = pa.schema(
    [("patient_id", pa.int64()), ("enrolled_on", pa.date32()), ("last_counted_before", _INSTANT)]
    + [(name, pa.string()) for name in ("zones", "thresholds", "symptoms", "unheard")]
)


def export(histories: Iterable[PatientHistory], folder: Path) -> tuple[int, int]:
    """Write the two files; how many patients and readings they hold. An earlier export in `folder` is replaced as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = folder / f"{READINGS}.part", folder / f"{PATIENTS}.part"
    patients: list[dict[str, Any]] = []
    readings = 0
    # A dictionary of ids, of which no two are alike, would take ten times as long as all the rest.
    with pq.ParquetWriter(halves[0], _OF_READINGS, compression="zstd", use_dictionary=[*_CODES, *_NUMBERS]) as writer:
        for some in _taken(histories, AT_ONCE):
            writer.write_table(pa.concat_tables(map(_readings, some)), row_group_size=ROWS_OF_A_GROUP)
            patients += map(_patient, some)
            readings += sum(len(history.window) for history in some)
    pq.write_table(pa.Table.from_pylist(patients, schema=_OF_PATIENTS), halves[1])
    halves[0].replace(folder / READINGS)
    halves[1].replace(folder / PATIENTS)
    return len(patients), readings


def load(folder: Path) -> Iterator[PatientHistory]:
    """Every patient of an export, by number; raises `MalformedError` (`cohort_file`) for files of another form."""
    people, readings = _read(folder / PATIENTS, _OF_PATIENTS), _read(folder / READINGS, _OF_READINGS)
    whose = readings["patient_id"].to_numpy()
    if np.any(np.diff(whose) < 0):
        raise MalformedError(
            "cohort_file", f"{folder / READINGS}: the readings of a patient must lie together, by number"
        )
    ordered = sorted(people.to_pylist(), key=lambda each: int(each["patient_id"]))
    for some in _taken(ordered, AT_ONCE):
        numbers = [int(each["patient_id"]) for each in some]
        begins, ends = np.searchsorted(whose, numbers), np.searchsorted(whose, numbers, side="right")
        window = _window(readings.slice(begins[0], ends[-1] - begins[0]), folder)
        for patient, begin, end in zip(some, begins - begins[0], ends - begins[0], strict=True):
            yield _history(patient, window.part(int(begin), int(end)))


def count(folder: Path) -> int:
    """How many patients an export holds."""
    return int(_read(folder / PATIENTS, _OF_PATIENTS).num_rows)


def write_alerts(alerts: Iterable[Alert], file: Path) -> None:
    """One row an alert, the columns named as the fields of `Alert`."""
    names = Alert.__dataclass_fields__
    rows = [{name: getattr(alert, name) for name in names} for alert in alerts]
    schema = pa.schema(
        [("patient_id", pa.int64()), ("rule_id", pa.string()), ("rule_version", pa.int32()), ("priority", pa.string())]
        + [("opened_at", _INSTANT), ("resolved_at", _INSTANT)]
        + [(name, pa.date32()) for name in ("told_on", "first_day", "last_day")]
        + [("is_for_doctor", pa.bool_())]
    )
    assert set(schema.names) == set(names)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)


def write_rows(file: Path, columns: Sequence[tuple[str, str]], rows: Iterable[Mapping[str, Any]]) -> int:
    """Rows of any table, a batch at a time; how many. `columns`: name and kind, which is text, texts (a list), whole, number or
    wall_clock (an instant without a zone)."""
    schema = pa.schema([(name, _KINDS[kind]) for name, kind in columns])
    written = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for some in _taken(rows, ROWS_AT_ONCE):
            writer.write_table(pa.Table.from_pylist([dict(each) for each in some], schema=schema))
            written += len(some)
    return written


def _readings(history: PatientHistory) -> pa.Table:
    window, n = history.window, len(history.window)
    ids = pa.array([each.bytes for each in window.reading_ids], pa.binary(16))
    columns: dict[str, Any] = {"patient_id": np.full(n, history.patient_id), "reading_id": ids}
    columns |= {
        name: pa.array(getattr(window, column), pa.int64()).cast(_INSTANT) for name, column in _INSTANTS.items()
    }
    columns |= {name: pa.array(getattr(window, name), from_pandas=True) for name in _NUMBERS}
    columns |= {name: _words(getattr(window, name), codes) for name, codes in _CODES.items()}
    return pa.table(columns, schema=_OF_READINGS)


def _words(column: NDArray[np.int8], codes: Mapping[Any, int]) -> pa.Array:
    words = [word for word in codes if word is not None]
    place_of = np.full(256, -1, np.int8)  # a code below 0 counts from the end
    place_of[[codes[word] for word in words]] = range(len(words))
    places = place_of[column]
    return pa.DictionaryArray.from_arrays(pa.array(places, mask=places < 0), pa.array(words, pa.string()))


def _patient(history: PatientHistory) -> dict[str, Any]:
    own = {
        rule_id: {"version": each.version, "parameters": dict(each.parameters), "is_watched": each.is_watched}
        for rule_id, each in history.thresholds.items()
    }
    return {
        "patient_id": history.patient_id,
        "enrolled_on": history.enrolled_on,
        "zones": json.dumps([[span.valid_from.isoformat(), span.zone] for span in history.zones]),
        "thresholds": json.dumps(own),
        "symptoms": json.dumps([[each.at.isoformat(), each.has_symptoms] for each in history.symptoms]),
        "last_counted_before": history.last_counted_before,
        "unheard": json.dumps(
            [
                [each.began.isoformat(), None if each.ended is None else each.ended.isoformat()]
                for each in history.unheard
            ]
        ),
    }


def _read(file: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as e:
        raise MalformedError("cohort_file", f"{file}: {' '.join(str(e).split())}") from e
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise MalformedError("cohort_file", f"{file}: no column {', '.join(missing)}; export it with this version")
    return table.select(schema.names).combine_chunks()


def _history(patient: Mapping[str, Any], window: Window) -> PatientHistory:
    return PatientHistory(
        patient_id=int(patient["patient_id"]),
        enrolled_on=patient["enrolled_on"],
        zones=tuple(
            ZoneSpan(valid_from=datetime.fromisoformat(since), zone=zone)
            for since, zone in json.loads(patient["zones"])
        ),
        window=window,
        thresholds={rule_id: PersonalThreshold(**own) for rule_id, own in json.loads(patient["thresholds"]).items()},
        symptoms=tuple(
            Symptom(at=datetime.fromisoformat(at), has_symptoms=has_symptoms)
            for at, has_symptoms in json.loads(patient["symptoms"])
        ),
        last_counted_before=patient["last_counted_before"],
        unheard=tuple(
            UnheardSpan(
                began=datetime.fromisoformat(began), ended=None if ended is None else datetime.fromisoformat(ended)
            )
            for began, ended in json.loads(patient["unheard"])
        ),
    )


def _window(rows: pa.Table, folder: Path) -> Window:
    """The readings of many, as one table: `Window.part` is each one's."""
    columns: dict[str, Any] = {column: rows[name].cast(pa.int64()).to_numpy() for name, column in _INSTANTS.items()}
    columns |= {name: rows[name].to_numpy().astype(np.float64) for name in _NUMBERS}
    columns |= {name: _coded(rows[name], codes, folder, name) for name, codes in _CODES.items()}
    ids = rows["reading_id"].combine_chunks().cast(pa.binary(16))
    raw = (
        np.frombuffer(ids.buffers()[1], "V16", count=len(ids), offset=16 * ids.offset)
        if len(ids)
        else np.zeros(0, "V16")
    )
    return Window(reading_ids=ReadingIds(raw), **columns)


def _coded(column: pa.ChunkedArray, codes: Mapping[Any, int], folder: Path, name: str) -> NDArray[np.int8]:
    said = column.cast(pa.string())
    places = pc.index_in(said, value_set=pa.array(codes, pa.string()))
    if places.null_count:
        unknown = said.filter(places.is_null())[0].as_py()
        raise MalformedError("cohort_file", f"{folder / READINGS}: {name} says {unknown!r}", unknown)
    coded: NDArray[np.int8] = np.array(list(codes.values()), np.int8)[places.to_numpy()]
    return coded


def _taken(each: Iterable[T], at_once: int) -> Iterator[list[T]]:
    iterator = iter(each)
    while some := list(islice(iterator, at_once)):
        yield some
