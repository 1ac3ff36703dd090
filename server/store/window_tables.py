"""The readings of many patients in one go, straight into the columns of windows: what a back-test reads of a clinic's years.

PostgreSQL copies rows of one width, which numpy reads as they are; a row a reading in Python would cost ten times the judging. It
reads what `judging.history_of` reads, in its order, and knows nothing else of a patient.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.rules.windows import (
    CENSORED_CODES,
    KIND_CODES,
    MEAL_CODES,
    QUALITY_CODES,
    TIME_CODES,
    ReadingIds,
    Window,
    to_us,
)
from server.store.postgres import Connection, load_sql
from vitals.quality import IRREGULAR_PULSE

_SQL: Final = load_sql("window_tables")
_AS_CORRECTED: Final = _SQL["readings"].replace(b"from reading\n", b"from reading_in_use\n")
assert _SQL["readings"] != _AS_CORRECTED
_ON_RECORD: Final = _AS_CORRECTED.replace(
    b"and measured_at >= %(since)s\n",
    b"and measured_at >= %(since)s and measured_at < %(until)s and kind = any(%(wanted)s::text[])\n",
)
"""What a person may see of one patient: through the view alone, of some kinds, and up to an instant."""
assert _AS_CORRECTED != _ON_RECORD

_WORDS: Final[Mapping[str, Mapping[Any, int]]] = {
    "kind": KIND_CODES,
    "censored": CENSORED_CODES,
    "meal": MEAL_CODES,
    "quality": QUALITY_CODES,
    "time_quality": TIME_CODES,
}
_INSTANTS: Final = ("measured_at_us", "received_at_us")
_NUMBERS: Final = ("systolic_mmhg", "diastolic_mmhg", "pulse_bpm", "glucose_mmol_l", "glucose_mg_dl", "weight_kg", "spo2_percent",
                   "temperature_celsius", "irregular_pulse")  # fmt: skip
_FIELDS: Final = (
    ("patient_id", ">i8"),
    ("reading_id", "V16"),
    *((name, ">i8") for name in _INSTANTS),
    *((name, ">f8") for name in _NUMBERS),
    *((name, ">i2") for name in _WORDS),
)
"""The columns of the statement, in its order; none of them is ever null."""

_ROW: Final = np.dtype(
    [("fields", ">i2"), *(part for name, kind in _FIELDS for part in ((f"{name} length", ">i4"), (name, kind)))]
)
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_AROUND: Final = len(_HEADER) + len(_TRAILER)
_EPOCH_US: Final = to_us(datetime(2000, 1, 1, tzinfo=UTC))
"""PostgreSQL counts from there."""


def windows_of(conn: Connection, patient_ids: Sequence[int], *, since: datetime) -> dict[int, Window]:
    """The window of each of these patients, with the readings measured from `since` on; empty ones too."""
    wanted = {"patient_ids": list(patient_ids)}
    corrected = {row[0] for row in conn.execute(_SQL["corrected"], wanted)}
    plain = [patient_id for patient_id in patient_ids if patient_id not in corrected]
    windows: dict[int, Window] = {}
    for statement, some in ((_SQL["readings"], plain), (_AS_CORRECTED, sorted(corrected))):
        if some:
            windows |= _windows(_rows(conn, statement, some, since), some)
    return windows


def window_of_kinds(
    conn: Connection, patient_id: int, *, since: datetime, until: datetime, kinds: Iterable[str]
) -> Window:
    """The readings in use of these kinds, from `since` to before `until`; the caller may see the patient."""
    return _window(_rows(conn, _ON_RECORD, [patient_id], since, until=until, wanted=list(kinds)))


def _windows(rows: NDArray[np.void], patient_ids: Sequence[int]) -> dict[int, Window]:
    whose, whole = rows["patient_id"].astype(np.int64), _window(rows)
    begins, ends = (np.searchsorted(whose, patient_ids, side=side) for side in ("left", "right"))
    return {
        patient_id: whole.part(int(begin), int(end))
        for patient_id, begin, end in zip(patient_ids, begins, ends, strict=True)
    }


def _rows(
    conn: Connection, statement: bytes, patient_ids: Sequence[int], since: datetime, **more: object
) -> NDArray[np.void]:
    words = {name: [word for word in codes if word is not None] for name, codes in _WORDS.items()}
    wanted = {"patient_ids": list(patient_ids), "since": since, "irregular": IRREGULAR_PULSE, **words, **more}
    with conn.cursor() as cursor, cursor.copy(statement, wanted) as source:
        copied = b"".join(source)
    assert copied.startswith(_HEADER), "not what COPY … (format binary) sends"
    assert copied.endswith(_TRAILER), "cut off"
    rows = np.frombuffer(copied, _ROW, count=(len(copied) - _AROUND) // _ROW.itemsize, offset=len(_HEADER))
    assert len(copied) == _AROUND + rows.nbytes, "rows of another width"
    assert np.all(rows["fields"] == len(_FIELDS)), "the statement's columns are not those of the row"
    return rows


def _window(rows: NDArray[np.void]) -> Window:
    columns: dict[str, Any] = {name: rows[name].astype(np.int64) + _EPOCH_US for name in _INSTANTS}
    columns |= {name: rows[name].astype(np.float64) for name in _NUMBERS}
    columns |= {name: _coded(rows[name], codes) for name, codes in _WORDS.items()}
    return Window(reading_ids=ReadingIds(np.ascontiguousarray(rows["reading_id"])), **columns)


def _coded(places: NDArray[np.int16], codes: Mapping[Any, int]) -> NDArray[np.int8]:
    """From the place of a word in its list, counted from 1 and 0 for none, to its code."""
    code_of = np.array([codes.get(None, 0), *(code for word, code in codes.items() if word is not None)], np.int8)
    assert np.all((places > 0) | ((places == 0) & (None in codes))), "a word that no window knows"
    return np.asarray(code_of[places], np.int8)
