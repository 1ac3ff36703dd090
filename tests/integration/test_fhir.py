"""The FHIR facade on a real clinic: three public validators judge what it says, and nobody sees a stranger's record by it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from fhir.resources.R4B import get_fhir_model_class
from fix_clinic import Clinic
from pydantic import ValidationError

from server import clock

Judge = Callable[[Sequence[Any]], list[dict[str, Any]]]


@pytest.fixture
def doctor(clinic: Clinic) -> int:
    return clinic.add_user("dr-lin")


@pytest.fixture
def patient(clinic: Clinic, doctor: int) -> int:
    return clinic.add_patient("李建国", doctor, sex="male", phone="+86 138 0000 0000")


def record(clinic: Clinic, patient: int) -> None:
    """One reading of every kind and trouble."""
    at = clock.now().replace(microsecond=0) - timedelta(days=2)
    for days, (systolic, diastolic) in enumerate(((152, 94), (149, 92), (155, 96))):
        clinic.add_pressure(patient, at - timedelta(days=days), systolic, diastolic)
    clinic.add_pressure(patient, at - timedelta(hours=1), None, 80, quality="invalid", reasons=["value_special"])
    clinic.add_pressure(patient, at - timedelta(hours=2), 150, 90, quality="rejected", reasons=["body_movement"])
    clinic.add_pressure(patient, at - timedelta(hours=3), 150, 90, time_quality="orphan")
    clinic.add_glucose(patient, at - timedelta(hours=4), 7.2, meal="fasting")
    mol = {"glucose_mmol_l": 7.0, "glucose_mg_dl": 126.1274, "unit_sent": "mol/L"}
    clinic.add_value(patient, "glucose", at - timedelta(hours=5), **mol)
    clinic.add_value(patient, "glucose", at - timedelta(hours=6), unit_sent="kg/L", glucose_censored="HI")
    clinic.add_value(patient, "glucose", at - timedelta(hours=7), quality="invalid", unit_sent="kg/L")
    clinic.add_value(patient, "sensor_glucose", at, glucose_mmol_l=5.5, glucose_mg_dl=99.1, unit_sent="mg/dL")
    clinic.add_value(patient, "weight", at, weight_kg=81.4, unit_sent="kg")
    clinic.add_value(patient, "oxygen_saturation", at, spo2_percent=97.0, pulse_bpm=66.0)
    clinic.add_value(patient, "temperature", at, temperature_celsius=36.9, unit_sent="°C")
    clinic.add_value(patient, "heart_rate", at, pulse_bpm=72.0, meter_time="2026-01-01T08:00:00", clock_offset_s=3.5)
    clinic.add_value(
        patient,
        "blood_pressure",
        at - timedelta(hours=8),
        systolic_mmhg=148.0,
        diastolic_mmhg=92.0,
        mean_mmhg=111.0,
        meter_status=0x0021,
        meter_time="2026-01-01T08:00:00",
        clock_offset_s=3600.0,
        unit_sent="kPa",
    )


class Client:
    """Who reads by FHIR, signed in."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    def get(self, path: str, **params: Any) -> httpx2.Response:
        return self._http.get(path if path.startswith("http") else f"/fhir/{path}", params=params or None)

    def read(self, path: str, **params: Any) -> dict[str, Any]:
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/fhir+json"
        resource: dict[str, Any] = answer.json()
        return resource

    def everything(self, kind: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Over all pages."""
        bundle = self.read(kind, **params)
        while True:
            yield from (entry["resource"] for entry in bundle.get("entry", []))
            following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            if not following:
                return
            bundle = self.read(following[0])


@pytest.fixture
def reader(clinic: Clinic, doctor: int) -> Client:
    return Client(clinic.client("dr-lin"))


def by_fhir_resources(resource: dict[str, Any]) -> list[str]:
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValidationError as e:
        return [f"{resource['id']}: {each['loc']}: {each['msg']}" for each in e.errors()]
    return []


def test_three_validators_find_no_error_in_anything_that_is_said(
    clinic: Clinic, patient: int, doctor: int, reader: Client, judge_fhir: Judge
) -> None:
    record(clinic, patient)
    clinic.judge(patient)
    said = [reader.read("metadata"), reader.read("Patient")]
    for kind in ("Device", "Observation", "DetectedIssue", "Task", "Communication"):
        said.append(reader.read(kind, patient=patient))
    said += [entry["resource"] for bundle in said[1:] for entry in bundle["entry"]]
    kinds = {resource["resourceType"] for resource in said}

    assert kinds >= {"Bundle", "Patient", "Device", "Observation", "DetectedIssue", "Task", "Communication"}
    assert judge_fhir(said) == []
    assert [each for resource in said for each in by_fhir_resources(resource)] == []


def test_a_pressure_is_a_panel_with_its_pulse_its_status_and_the_meters_clock_beside_it(
    clinic: Clinic, patient: int, reader: Client
) -> None:
    at = clock.now().replace(microsecond=0) - timedelta(days=2)
    values = {
        "systolic_mmhg": 148.0,
        "diastolic_mmhg": 92.0,
        "mean_mmhg": 111.0,
        "pulse_bpm": 72.0,
        "meter_status": 0x21,
    }
    reading = clinic.add_value(
        patient,
        "blood_pressure",
        at,
        **values,
        meter_time="2026-01-01T08:00:00",
        clock_offset_s=90.0,
        unit_sent="mmHg",
    )

    found = {each["id"]: each for each in reader.everything("Observation", patient=f"Patient/{patient}")}

    assert set(found) == {f"{reading}{suffix}" for suffix in ("", "-pulse", "-status", "-clock")}
    panel, status, meters = found[str(reading)], found[f"{reading}-status"], found[f"{reading}-clock"]
    assert [each["valueQuantity"]["value"] for each in panel["component"]] == [148, 92, 111]
    assert {each["code"] for each in panel["code"]["coding"]} == {"85354-9", "150020"}
    assert [each["code"]["coding"][0]["code"] for each in status["component"]] == ["8410608.0", "8410608.5"]
    assert status["derivedFrom"] == [{"reference": f"Observation/{reading}"}]
    assert meters["subject"] == panel["device"]
    ours, theirs = (clock_of(meters[name]) for name in ("effectiveDateTime", "valueDateTime"))
    assert (ours - theirs).total_seconds() == 90.0


def clock_of(text: str) -> Any:

    return datetime.fromisoformat(text)


def test_what_a_meter_did_not_give_is_a_reason_and_never_a_number(clinic: Clinic, patient: int, reader: Client) -> None:
    at = clock.now() - timedelta(days=2)
    half = clinic.add_pressure(patient, at, None, 80, quality="invalid", reasons=["value_special"])
    high = clinic.add_value(patient, "glucose", at, unit_sent="kg/L", glucose_censored="HI")
    lost = clinic.add_pressure(patient, at - timedelta(days=1), 150, 90, time_quality="orphan")

    systolic, diastolic = reader.read(f"Observation/{half}")["component"]
    assert systolic["dataAbsentReason"]["coding"][0]["code"] == "not-a-number"
    assert "valueQuantity" not in systolic
    assert diastolic["valueQuantity"]["value"] == 80
    assert reader.read(f"Observation/{high}")["valueQuantity"]["comparator"] == ">"
    assert reader.read(f"Observation/{lost}")["interpretation"] == [{"text": "questionable"}]


def test_glucose_is_coded_by_what_was_sent_mass_or_moles(clinic: Clinic, patient: int, reader: Client) -> None:
    at = clock.now() - timedelta(days=2)
    sent = {"glucose_mmol_l": 7.0, "glucose_mg_dl": 126.1274}
    mass = clinic.add_value(patient, "glucose", at, **sent, unit_sent="kg/L")
    moles = clinic.add_value(patient, "glucose", at, **sent, unit_sent="mol/L")

    assert [
        (said["code"]["coding"][0]["code"], said["valueQuantity"]["value"], said["valueQuantity"]["code"])
        for said in (reader.read(f"Observation/{mass}"), reader.read(f"Observation/{moles}"))
    ] == [("41653-7", 126.1274, "mg/dL"), ("14743-9", 7, "mmol/L")]


def test_pages_of_any_size_hold_everything_once(clinic: Clinic, patient: int, reader: Client) -> None:
    record(clinic, patient)
    whole = [each["id"] for each in reader.everything("Observation", patient=patient, _count=200)]

    assert len(set(whole)) == len(whole) > 20
    for count in (1, 2, 3, 7):
        first = reader.read("Observation", patient=patient, _count=count)
        assert len(first["entry"]) == count
        assert [each["id"] for each in reader.everything("Observation", patient=patient, _count=count)] == whole


def test_observations_are_found_by_code_day_and_change(clinic: Clinic, patient: int, reader: Client) -> None:
    record(clinic, patient)
    whole = list(reader.everything("Observation", patient=patient))

    for code, wanted in (("8867-4", "8867-4"), ("http://loinc.org|85354-9", "85354-9"), ("85354-9,29463-7", None)):
        found = {each["id"] for each in reader.everything("Observation", patient=patient, code=code)}
        codes = {wanted} if wanted else {"85354-9", "29463-7"}
        assert (
            found == {each["id"] for each in whole if codes & {one["code"] for one in each["code"]["coding"]}} != set()
        )
    assert list(reader.everything("Observation", patient=patient, code="http://snomed.info/sct|85354-9")) == []
    middle = sorted(clock_of(each["effectiveDateTime"]) for each in whole)[len(whole) // 2].isoformat()
    main = [each for each in whole if not each["id"].endswith("-clock")]
    later = {each["id"] for each in reader.everything("Observation", patient=patient, date=f"ge{middle}")}
    earlier = {each["id"] for each in reader.everything("Observation", patient=patient, date=f"lt{middle}")}
    assert later | earlier == {each["id"] for each in whole}
    assert {each["id"] for each in main if clock_of(each["effectiveDateTime"]) < clock_of(middle)} <= earlier
    tomorrow = (clock.now() + timedelta(days=2)).date()
    assert list(reader.everything("Observation", patient=patient, _lastUpdated=f"ge{tomorrow}")) == []


def test_an_alert_its_work_and_who_was_told_hang_together(clinic: Clinic, doctor: int, reader: Client) -> None:
    patient, episode = clinic.high_patient("王芳", doctor)
    clinic.deliver()

    issue, task = reader.read(f"DetectedIssue/{episode}"), reader.read(f"Task/{episode}")
    told = list(reader.everything("Communication", patient=patient))

    assert issue["patient"] == task["for"] == {"reference": f"Patient/{patient}"}
    assert task["focus"] == {"reference": f"DetectedIssue/{episode}"}
    assert (issue["severity"], task["status"]) == ("low", "requested")
    for each in issue["evidence"][0]["detail"]:
        assert reader.read(each["reference"])["resourceType"] == "Observation"
    assert {each["status"] for each in told} == {"completed"}
    assert {each["about"][0]["reference"] for each in told} == {f"DetectedIssue/{episode}"}
    assert reader.read(f"Communication/{told[0]['id']}") == told[0]


def test_a_call_to_be_made_is_a_task_beside_its_alerts(
    clinic: Clinic, doctor: int, reader: Client, judge_fhir: Judge
) -> None:
    patient, episode = clinic.high_patient("王芳", doctor)  # the alert has opened it
    number = clinic.rows("select follow_up_id from follow_up where patient_id = %s", patient)[0]["follow_up_id"]
    program, address, name = clinic.client("dr-lin"), f"/api/v1/follow-ups/{number}", f"Task/call-{number}"
    steps = (
        ("assign", {"assigned_to": doctor}),
        ("calls", {"result": "no_answer", "note": "ask about her pills"}),
        ("close", {"outcome": "advised"}),
    )

    said = [reader.read(name)]
    for step, body in steps:
        version = {"If-Match": f'"{said[-1]["meta"]["versionId"]}"'}
        program.post(f"{address}/{step}", json=body, headers=version).raise_for_status()
        said.append(reader.read(name))

    assert [each["status"] for each in said] == ["requested", "accepted", "in-progress", "completed"]
    assert said[0]["basedOn"] == [{"reference": f"DetectedIssue/{episode}"}]
    assert said[-1]["businessStatus"] == {"text": "advised"}
    assert "pills" not in str(said)
    one_by_one = [each["id"] for each in reader.everything("Task", patient=patient, _count=1)]
    assert sorted(one_by_one) == sorted([str(episode), f"call-{number}"])
    assert judge_fhir(said) == []
    assert reader.get("Task/call-999999").status_code == 404


def test_a_strangers_record_does_not_exist(clinic: Clinic, doctor: int, reader: Client) -> None:
    other = clinic.add_user("dr-wu")
    foreign, episode = clinic.high_patient("陌生人", other)
    reading = clinic.add_pressure(foreign, clock.now() - timedelta(days=1), 120, 80)
    clinic.deliver()
    push = clinic.rows("select push_id from push where patient_id = %s limit 1", foreign)[0]["push_id"]
    call = clinic.rows("select follow_up_id from follow_up where patient_id = %s", foreign)[0]["follow_up_id"]
    own = Client(clinic.client("dr-wu"))
    device = reader_device(own, foreign)

    addresses = [
        *(f"{kind}?patient={foreign}" for kind in ("Device", "Observation", "DetectedIssue", "Task", "Communication")),
        *(f"Observation/{reading}{suffix}" for suffix in ("", "-pulse")),
        *(f"{kind}/{episode}" for kind in ("DetectedIssue", "Task")),
        f"Task/call-{call}",
        f"Patient/{foreign}",
        f"Communication/{push}",
        f"Communication/{push}?patient={foreign}",
        *([f"Device/{device}"] if device else []),
    ]
    for address in addresses:
        assert own.get(address).status_code == 200, address
        answer = reader.get(address)
        assert answer.status_code == 404, address
        assert answer.json()["issue"][0]["code"] == "not-found"
        assert "陌生人" not in answer.text
    assert reader.read("Patient").get("entry", []) == []


def reader_device(own: Client, patient: int) -> str | None:
    found = [each["id"] for each in own.everything("Device", patient=patient) if each["id"] != "homevigil"]
    return found[0] if found else None


NOT_UNDERSTOOD = (
    "Observation",
    "Observation?patient=0",
    "Observation?patient=1&_count=0",
    "Observation?patient=1&_count=x",
    "Observation?patient=1&colour=red",
    "Observation?patient={patient}&date=2026-13-01",
    "Observation?patient={patient}&date=ge2026-11-20T08:00:00",
    "Observation?patient={patient}&date=ne2026-11-20",
    "Observation?patient={patient}&cursor=AAAA",
    "Task?patient={patient}&cursor=fHw5OTk5",
)


def test_what_cannot_be_understood_says_so_as_an_outcome(patient: int, reader: Client, judge_fhir: Judge) -> None:
    answers = [reader.get(asked.format(patient=patient)) for asked in NOT_UNDERSTOOD]

    assert [(answer.status_code, answer.json()["resourceType"]) for answer in answers] == [
        (400, "OperationOutcome") for _ in NOT_UNDERSTOOD
    ]
    assert judge_fhir([answer.json() for answer in answers]) == []


def test_nobody_reads_without_signing_in_but_what_the_facade_can_do(clinic: Clinic) -> None:
    stranger = Client(clinic.client())

    assert stranger.read("metadata")["fhirVersion"] == "4.0.1"
    answer = stranger.get("Patient")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (401, "login")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_every_look_through_the_facade_is_written_down(
    clinic: Clinic, patient: int, doctor: int, reader: Client
) -> None:
    reading = clinic.add_pressure(patient, clock.now() - timedelta(days=1), 120, 80)

    reader.read("Observation", patient=patient)
    reader.read(f"Observation/{reading}")
    reader.read(f"Patient/{patient}")
    reader.read("Communication", patient=patient)

    noted = clinic.rows("select actor, patient_id from audit_entry where act = 'record.read'")
    assert noted == [{"actor": f"user:{doctor}", "patient_id": patient}] * 4
