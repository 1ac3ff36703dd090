"""A patient takes the record along: programs can read it, people can, and it says who has seen it."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from fix_clinic import Clinic

from server import clock
from server.people import portability
from server.people.errors import NotOnPanelError
from server.store.postgres import transaction


def test_the_record_is_given_out_whole_to_who_sees_the_patient_and_that_is_written_down(
    clinic: Clinic, judge_fhir: Callable[[Sequence[Any]], Any]
) -> None:
    lin, wang = clinic.add_user("lin"), clinic.add_user("wang")
    patient_id = clinic.add_patient("=王秀英", lin, phone="+86 21 5555 0100")
    other = clinic.add_patient("Somebody Else", wang)
    for hours in (1, 2, 3):
        clinic.add_pressure(patient_id, clock.now() - timedelta(hours=hours), 190 + hours, 120)
        clinic.add_pressure(other, clock.now() - timedelta(hours=hours), 133, 81)
    clinic.judge(patient_id)
    clinic.client("lin").get(f"/api/v1/patients/{patient_id}/readings").raise_for_status()

    packed = given(clinic, patient_id, lin)

    assert set(packed) == {
        "README.txt",
        "record.json",
        "readings.csv",
        "alerts.csv",
        "messages.csv",
        "consents.csv",
        "seen-by.csv",
    }
    bundle = json.loads(packed["record.json"])
    kinds = {each["resource"]["resourceType"] for each in bundle["entry"]}
    assert {"Patient", "Device", "Observation", "DetectedIssue", "Task"} <= kinds
    assert judge_fhir([bundle]) == []
    assert sorted(row["systolic_mmhg"] for row in table(packed["readings.csv"])) == ["191.0", "192.0", "193.0"]
    assert [row["rule_id"] for row in table(packed["alerts.csv"])] != []
    assert {row["purpose"] for row in table(packed["consents.csv"])} == {"care", "reminders", "channels"}
    assert [row["who"] for row in table(packed["seen-by.csv"])] == ["Lin"]
    assert "Somebody Else" not in json.dumps(packed)
    assert clinic.rows("select actor, patient_id from audit_entry where act = 'record.export'") == [
        {"actor": f"user:{lin}", "patient_id": patient_id}
    ]
    with pytest.raises(NotOnPanelError):
        given(clinic, patient_id, wang)


def test_what_a_spreadsheet_would_run_is_text() -> None:
    assert [portability._cell(each) for each in ("=1+1", "@x", -3.5, None, "plain")] == [
        "'=1+1",
        "'@x",
        "-3.5",
        "",
        "plain",
    ]


def given(clinic: Clinic, patient_id: int, user_id: int) -> dict[str, str]:
    with transaction(clinic.pool) as conn:
        packed = portability.export(
            conn,
            patient_id,
            user_id=user_id,
            actor=f"user:{user_id}",
            base="https://clinic.example/fhir",
            now=clock.now(),
        )
    with zipfile.ZipFile(io.BytesIO(packed)) as folder:
        return {name: folder.read(name).decode("utf-8-sig") for name in folder.namelist()}


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))
