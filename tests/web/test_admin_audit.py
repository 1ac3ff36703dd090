"""The audit as an auditor reads it: who did what, who saw whom, how far it is proved."""

import re

import httpx2
import pytest
from fix_clinic import Clinic, local_today, words_of

from server import clock
from server.audit.anchoring import make_anchor
from server.audit.sealing import seal_all
from server.store import alarms
from server.store.alarms import AlarmKind
from server.store.postgres import transaction


@pytest.fixture
def auditor(clinic: Clinic) -> httpx2.Client:
    clinic.add_user("auditor", "auditor")
    return clinic.browser_client("auditor")[0]


def looked(browser: httpx2.Client, query: str = "", lang: str = "en") -> str:
    answer = browser.get(f"/admin/audit?lang={lang}&{query}")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", words_of(answer.text))


def entries(browser: httpx2.Client, query: str = "") -> list[int]:
    page = browser.get(f"/admin/audit?{query}").text
    return [int(number) for number in re.findall(r'class="id">#(\d+) ', page)]


def test_an_auditor_sees_who_saw_a_record_and_no_name_of_a_patient(
    clinic: Clinic, doctor_id: int, auditor: httpx2.Client
) -> None:
    patient_id, _ = clinic.high_patient("Zhao Min", doctor_id)
    doctor, _ = clinic.browser_client("doctor")
    doctor.get(f"/p/{patient_id}")

    said = looked(auditor, f"patient={patient_id}")

    assert f"Who has looked at the record of patient {patient_id} Dr. Lin : 1 time first" in said
    assert "Dr. Lin looked at the record" in said
    assert "Zhao" not in said
    assert "Dr. Lin 查看了档案" in looked(auditor, f"patient={patient_id}", "zh")
    again = looked(auditor, f"patient={patient_id}")
    assert f"of patient {patient_id} Auditor : 1 time" in again  # the looking is looked at
    assert "There is no patient with this number." in looked(auditor, "patient=999")
    assert doctor.get("/admin/audit").status_code == 403


def test_the_audit_is_narrowed_and_turned_page_by_page(clinic: Clinic, doctor_id: int, auditor: httpx2.Client) -> None:
    with transaction(clinic.pool) as conn:
        conn.execute(
            "insert into audit_entry (at, actor, act) select now() - n * interval '1 day', 'user:1', 'rule.approve'"
            " from generate_series(1, 60) n"
        )
    first = entries(auditor, "area=rule")
    second = entries(auditor, f"area=rule&before={first[-1]}")
    assert (len(first), len(second)) == (50, 10)
    assert first + second == sorted({*first, *second}, reverse=True)
    assert "Older entries" in looked(auditor, "area=rule")
    assert "Older entries" not in looked(auditor, f"area=rule&before={first[-1]}")
    today = local_today().isoformat()
    assert entries(auditor, f"area=rule&since={today}") == []
    assert len(entries(auditor, "area=session")) == 1
    assert entries(auditor, "area=rule&who=999") == []
    assert looked(auditor, "since=2026-02-31&area=nothing&who=") != ""


def test_the_state_of_the_chain_is_said_in_words(clinic: Clinic, auditor: httpx2.Client) -> None:
    assert "Nothing is sealed yet." in looked(auditor)
    assert "an end that is cut off would not be noticed" in looked(auditor)
    seal_all(clinic.pool)
    with transaction(clinic.pool) as conn:
        make_anchor(conn, now=clock.now())
    said = looked(auditor)
    assert re.search(r"Sealed: \d+ entries, the last .* ago\.", said)
    assert "was answered by nobody outside" in said
    assert "sealed as 1" in said
    assert "Something was changed" not in said
    with transaction(clinic.pool) as conn:
        alarms.raise_alarm(conn, AlarmKind.AUDIT_CHANGED, detail="a row was changed")
    assert "Something was changed after it was sealed." in looked(auditor)
