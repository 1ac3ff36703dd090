"""A reading's own page: what was said of it, and the forms by which clinicians correct it, without a browser."""

from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from fix_clinic import Clinic, local_at, words_of


@pytest.fixture
def signed_in(clinic: Clinic, doctor_id: int) -> tuple[httpx2.Client, str]:
    return clinic.browser_client("doctor")


def post(
    signed_in: tuple[httpx2.Client, str], patient_id: int, reading_id: UUID, action: str, **form: object
) -> httpx2.Response:
    browser, csrf_token = signed_in
    data = {"csrf_token": csrf_token, "if_match": "1", **{name: str(value) for name, value in form.items()}}
    return browser.post(f"/p/{patient_id}/r/{reading_id}/{action}?lang=en", data=data)


def test_every_reading_of_a_record_leads_to_its_own_page(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    browser, _ = signed_in
    patient_id = clinic.add_patient("李强", doctor_id)
    reading_id = clinic.add_pressure(patient_id, local_at(1, 8), 152, 94)

    record = browser.get(f"/p/{patient_id}?lang=en").text
    page = words_of(browser.get(f"/p/{patient_id}/r/{reading_id}?lang=en").text)

    assert f'href="/p/{patient_id}/r/{reading_id}"' in record
    assert "152/94 mmHg" in page
    assert "Nothing so far." in page
    assert "Do not use it" in page


def test_a_voided_reading_is_struck_through_with_why_by_whom_in_both_languages(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    browser, _ = signed_in
    patient_id = clinic.add_patient("李强", doctor_id)
    clinic.add_pressure(patient_id, local_at(2, 8), 131, 82)
    reading_id = clinic.add_pressure(patient_id, local_at(1, 8), 186, 104)

    done = post(signed_in, patient_id, reading_id, "void", reason="bad_measurement", note="over a coat")

    assert (done.status_code, done.headers["Location"]) == (303, f"/p/{patient_id}/r/{reading_id}")
    record = browser.get(f"/p/{patient_id}?lang=en").text
    english, chinese = words_of(record), words_of(browser.get(f"/p/{patient_id}?lang=zh").text)
    assert "Not to be used: measured in the wrong way – over a coat. Dr. Lin, " in english
    assert "不使用：测量方法不当（over a coat）。Dr. Lin，" in chinese
    assert 'class="struck"' in record  # crossed out on the chart, where its reason is the title
    assert "1 readings, 0 of them past the line" in record
    assert "✕ not used" in english
    assert record.count('<tr class="unusable">') == 1
    life = " ".join(words_of(browser.get(f"/p/{patient_id}/r/{reading_id}?lang=en").text).split())
    assert "Not to be used · Dr. Lin · measured in the wrong way – over a coat" in life
    assert "Let it count again as it came in" in life


def test_a_moved_reading_names_the_other_patient_in_both_records(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    browser, _ = signed_in
    one, two = clinic.add_patient("王秀英", doctor_id), clinic.add_patient("王建国", doctor_id)
    reading_id = clinic.add_pressure(one, local_at(1, 8), 152, 94)

    post(signed_in, one, reading_id, "reassign", reason="wrong_person", to_patient_id=two)

    here, there = (words_of(browser.get(f"/p/{each}?lang=en").text) for each in (one, two))
    assert "Moved to 王建国: somebody else measured. Dr. Lin" in here
    assert "Moved here from 王秀英: somebody else measured. Dr. Lin" in there
    back = post(signed_in, two, reading_id, "restore", if_match=2, reason="mistake")
    assert back.status_code == 303
    assert "Counts again: the correction was a mistake" in words_of(browser.get(f"/p/{one}?lang=en").text)


def test_nobody_is_named_whom_the_reader_does_not_see_and_nothing_is_offered_that_takes_from_them(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    one, two = clinic.add_patient("王秀英", doctor_id), clinic.add_patient("王建国", doctor_id)
    nurse_id = clinic.add_user("nurse", "nurse")
    reading_id = clinic.add_pressure(one, local_at(1, 8), 152, 94)
    post(signed_in, one, reading_id, "reassign", reason="wrong_person", to_patient_id=two)
    pages = {}
    for seen in (one, two):
        clinic.rows("delete from panel")
        clinic.put_on_panel(nurse_id, seen)
        nurse, _ = clinic.browser_client("nurse")
        pages[seen] = [nurse.get(f"/p/{seen}{path}?lang=en").text for path in ("", f"/r/{reading_id}")]

    assert all("王建国" not in page and "Another patient's" in words_of(page) for page in pages[one])
    assert all("王秀英" not in page and "Moved here from another patient" in words_of(page) for page in pages[two])
    assert "<form class" not in pages[one][1]
    assert "/void" in pages[two][1]
    assert "/restore" not in pages[two][1]


def test_who_comes_second_is_shown_the_reading_as_it_is_now(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str]
) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    clinic.put_on_panel(clinic.add_user("nurse", "nurse", name="Wang Min"), patient_id)
    reading_id = clinic.add_pressure(patient_id, local_at(1, 8), 152, 94)
    post(clinic.browser_client("nurse"), patient_id, reading_id, "void", reason="trial")

    second = post(signed_in, patient_id, reading_id, "void", reason="meter_problem")

    assert second.status_code == 412
    assert "Nothing was changed: Wang Min corrected it" in words_of(second.text)
    assert "Not to be used: trial or demonstration. Wang Min" in words_of(second.text)


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        ({"reason": "other"}, 422, "a reason that is not on the list needs a note."),
        ({"reason": "checked"}, 422, "that reason does not belong to it."),
        ({"reason": "nonsense"}, 422, "could not be understood"),
        ({"reason": "trial", "note": "x" * 501}, 422, "could not be understood"),
        ({"reason": "trial", "csrf_token": "forged"}, 403, "did not come from a page of this session"),
    ],
)
def test_a_form_that_is_not_filled_in_changes_nothing_and_says_why(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str], form: dict[str, str], status: int, says: str
) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    reading_id = clinic.add_pressure(patient_id, local_at(1, 8), 152, 94)

    answer = post(signed_in, patient_id, reading_id, "void", **form)

    assert answer.status_code == status
    assert says in words_of(answer.text)
    assert clinic.rows("select * from reading_correction") == []


def test_who_runs_the_house_sees_no_reading(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    clinic.put_on_panel(clinic.add_user("boss", "admin"), patient_id)
    reading_id = clinic.add_pressure(patient_id, clinic.clock() - timedelta(hours=1), 152, 94)
    boss = clinic.browser_client("boss")

    assert boss[0].get(f"/p/{patient_id}/r/{reading_id}?lang=en").status_code == 404
    assert post(boss, patient_id, reading_id, "void", reason="trial").status_code == 404
    assert clinic.rows("select * from reading_correction") == []


@pytest.mark.parametrize("reading_id", [UUID(int=3), "none"])
def test_a_reading_that_never_stood_in_the_record_has_no_page_there(
    clinic: Clinic, doctor_id: int, signed_in: tuple[httpx2.Client, str], reading_id: object
) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    assert signed_in[0].get(f"/p/{patient_id}/r/{reading_id}").status_code == 404
