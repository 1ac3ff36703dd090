"""Reports: what they say is what a plain computation says, and the PDF is read back."""

import io
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from statistics import fmean, stdev

import httpx2
import pytest
from fix_clinic import Clinic, local_at, local_today, words_of
from pypdf import PdfReader

from server.web import pdf
from server.web.words import Words

DAYS = 7
PAIRS = [(128 + 3 * number % 23, 76 + 5 * number % 17) for number in range(4 * DAYS)]


@pytest.fixture
def printer() -> None:
    if not pdf.is_available():
        why = "WeasyPrint or Pango is missing; to run this: sudo apt-get install libpangoft2-1.0-0 fonts-noto-cjk"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture
def browser(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.browser_client("doctor")[0]


def measured_for_a_week(clinic: Clinic, doctor_id: int) -> int:
    """Seven days up to yesterday, two readings in the morning and two in the evening: those of `PAIRS`, in order of time."""
    patient_id = clinic.add_patient("王秀英", doctor_id, birth_date=local_today().replace(year=1951, day=1))
    pairs = iter(PAIRS)
    for back in range(DAYS, 0, -1):
        for hour in (7, 20):
            for minute in (10, 12):
                clinic.add_pressure(patient_id, local_at(back, hour, minute), *next(pairs))
    return patient_id


def report_of(clinic: Clinic, patient_id: int, about: str = "bp", form: str = "", **query: object) -> str:
    asked = {"until": (local_today() - timedelta(days=1)).isoformat(), "lang": "en", **query}
    return f"/report/{about}/{patient_id}{form}?" + "&".join(f"{key}={value}" for key, value in asked.items())


def one_decimal(values: list[float]) -> str:
    return Words(language="en").number(fmean(values), 1)


def test_the_report_of_blood_pressure_is_one_page_of_what_was_measured(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client, printer: None
) -> None:
    patient_id = measured_for_a_week(clinic, doctor_id)
    clinic.add_pressure(patient_id, local_at(2, 13), 199, 111, quality="rejected", reasons=["body_movement"])
    clinic.add_pressure(patient_id, local_at(3, 13), 230, 118)  # far from all others, and alone: doubted
    voided = clinic.add_pressure(patient_id, local_at(4, 13), 181, 99)
    said = {"reason": "wrong_person"}
    address = f"/api/v1/patients/{patient_id}/readings/{voided}/void"
    clinic.client("doctor").post(address, headers={"If-Match": '"1"'}, json=said).raise_for_status()

    english = words_of(browser.get(report_of(clinic, patient_id)).text)
    answer = browser.get(report_of(clinic, patient_id, form="/pdf", lang="zh"))

    counted = PAIRS[4:]
    mornings = [pair for number, pair in enumerate(counted) if number % 4 < 2]
    mean = "/".join(one_decimal([float(pair[side]) for pair in counted]) for side in (0, 1))
    spread = "/".join(Words(language="en").number(stdev(pair[side] for pair in counted), 1) for side in (0, 1))
    at_home_line = 100 * sum(systolic >= 135 or diastolic >= 85 for systolic, diastolic in counted) / len(counted)
    above_rule = 100 * sum(systolic > 140 or diastolic > 90 for systolic, diastolic in counted) / len(counted)
    for expected in (
        f"Mean of {len(counted)} readings on 6 days",
        mean,
        spread,
        "/".join(one_decimal([float(pair[side]) for pair in mornings]) for side in (0, 1)),
        f"{at_home_line:.1f} % of readings at or above",
        f"{above_rule:.1f} % of readings above",
        "In no mean: 4 on the first day, 1 doubtful, 1 not used by the meter's own word, 1 taken out by the clinic.",
        "Home line 135/85",
        "Rule line 140/90",
    ):
        assert expected in english, expected
    assert answer.headers["Content-Type"] == "application/pdf"
    first, last = (local_today() - timedelta(days=back) for back in (DAYS, 1))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="blood-pressure-{first}-{last}.pdf"'
    paper = PdfReader(io.BytesIO(answer.content))
    text = paper.pages[0].extract_text()
    assert len(paper.pages) == 1
    for expected in ("家庭血压报告", "王秀英", mean, "早晨", "第一个测量日", "患者记录"):
        assert expected in text, expected
    assert "王秀英" not in str(paper.metadata)
    assert embedded_fonts(paper) == {True}


def embedded_fonts(paper: PdfReader) -> set[bool]:
    """Whether each font of the paper comes with it."""
    found = set()
    for page in paper.pages:
        for font in page["/Resources"]["/Font"].values():  # type: ignore[index]
            described = font.get_object()
            inner = described["/DescendantFonts"][0].get_object() if "/DescendantFonts" in described else described
            found.add(any(name.startswith("/FontFile") for name in inner["/FontDescriptor"].get_object()))
    return found


def test_the_same_page_makes_the_same_bytes_and_a_page_of_boxes_is_none(printer: None) -> None:
    page = '<html lang="zh-CN"><title>报告</title><p>血压 <svg viewBox="0 0 9 9"><text x="1" y="5">高</text></svg></p></html>'

    assert pdf.print_page(page) == pdf.print_page(page)
    with pytest.raises(pdf.NoFontError, match="fonts-noto-cjk"):
        pdf.print_page("<p>\U00010380</p>")  # Ugaritic


def test_too_few_readings_are_said_to_be_too_few(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    for back in (3, 2, 1):
        clinic.add_pressure(patient_id, local_at(back, 8), 150, 92)

    page = words_of(browser.get(report_of(clinic, patient_id)).text)
    empty = words_of(browser.get(report_of(clinic, patient_id, until="2020-01-07")).text)

    assert "Not enough readings: 2 of 12." in page
    assert "150.0/92.0" in page
    assert "too few readings to say" in page
    assert "Not enough readings: 0 of 12." in empty
    assert "No reading in these days." in empty


def test_a_report_is_noted_without_what_it_says_and_nobody_elses_is_made(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client, printer: None
) -> None:
    patient_id = measured_for_a_week(clinic, doctor_id)
    foreign = clinic.add_patient("Foreign", clinic.add_user("other"))

    answers = {
        path: browser.get(path).status_code
        for about in ("bp", "glucose")
        for number in (patient_id, foreign, 999_999)
        for path in (f"/report/{about}/{number}", f"/report/{about}/{number}/pdf")
    }

    assert {path: status for path, status in answers.items() if f"/{patient_id}" in path and status != 200} == {}
    assert {status for path, status in answers.items() if f"/{patient_id}" not in path} == {404}
    noted = clinic.rows(
        "select actor, patient_id, subject, detail from audit_entry where act = 'report.made' order by entry_id"
    )
    assert {(row["actor"], row["patient_id"]) for row in noted} == {(f"user:{doctor_id}", patient_id)}
    assert [row["subject"] for row in noted] == ["bp", "bp", "glucose", "glucose"]
    assert {key for row in noted for key in row["detail"]} == {"form", "language", "first_day", "last_day"}  # type: ignore[attr-defined]
    assert browser.get(f"/report/bp/{patient_id}?days=91").status_code == 422
    assert browser.get(f"/report/weight/{patient_id}").status_code == 404


def test_finger_sticks_have_a_grid_and_a_dense_sensor_a_profile(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client, printer: None
) -> None:
    patient_id = clinic.add_patient("赵敏", doctor_id)
    for back in range(9, 0, -1):
        clinic.add_glucose(patient_id, local_at(back, 7), 6.0 + back / 10, "fasting")
        clinic.add_glucose(patient_id, local_at(back, 14), 3.4 if back == 3 else 11.2, "postprandial")

    grid = browser.get(report_of(clinic, patient_id, "glucose")).text
    add_sensor(clinic, patient_id, days=5)
    sparse = words_of(browser.get(f"/report/glucose/{patient_id}?lang=en").text)
    add_sensor(clinic, patient_id, days=15, before=5)
    dense = browser.get(f"/report/glucose/{patient_id}?lang=en").text
    paper = PdfReader(io.BytesIO(browser.get(f"/report/glucose/{patient_id}/pdf?lang=zh").content))

    said = words_of(grid)
    assert said.index("Lows: 1 of 18 readings") < said.index("Share of readings (not of time)")
    assert "5.6 %" in said  # one of eighteen is low
    assert "44.4 %" in said  # eight are high
    assert "50.0 %" in said
    assert "3.4 mmol/L (61 mg/dL)" in said
    assert "Time in range" not in said
    assert "A profile needs 14 days with 70 % of the readings." in sparse
    assert "Time in range" not in sparse
    assert "Time in range" in words_of(dense)
    assert dense.count('class="median"') >= 15  # the profile, and each of its days
    assert "8.0 mmol/L (144 mg/dL)" in words_of(dense)
    assert "动态血糖图谱" in paper.pages[0].extract_text()
    assert "按日和餐次的指尖血糖" in "".join(page.extract_text() for page in paper.pages)


def add_sensor(clinic: Clinic, patient_id: int, *, days: int, before: int = 0) -> None:
    """A worn sensor that shows 8.0 mmol/L every quarter of an hour."""
    clinic.rows("select reading_make_room(now() - n * interval '15 days') from generate_series(0, 2) n")
    clinic.rows(
        """insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, glucose_mmol_l, glucose_mg_dl,
                                quality, time_quality, zone, received_at, decoder)
           select %s, 'sensor_glucose', t, gen_random_uuid(), 'gw-1', 'sensor', 8.0, 8.0 * 18.0182, 'accepted', 'corrected',
                  'Asia/Shanghai', t, 'test'
           from generate_series(now() - %s * interval '1 day', now() - %s * interval '1 day' - interval '1 minute',
                                interval '15 minutes') t returning 1""",
        patient_id,
        days,
        before,
    )


def test_without_weasyprint_the_page_says_so_and_printing_remains(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient_id = measured_for_a_week(clinic, doctor_id)
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    pdf.is_available.cache_clear()
    try:
        page, no_pdf = (
            browser.get(report_of(clinic, patient_id)),
            browser.get(report_of(clinic, patient_id, form="/pdf")),
        )
    finally:
        pdf.is_available.cache_clear()

    assert "No PDF on this server: print from the browser." in page.text
    assert "Mean of 24 readings" in page.text
    assert no_pdf.status_code == 503


def test_the_command_line_makes_the_same_report(
    clinic: Clinic, doctor_id: int, database_url: str, tmp_path: Path, printer: None
) -> None:
    patient_id = measured_for_a_week(clinic, doctor_id)
    until = (local_today() - timedelta(days=1)).isoformat()
    out = tmp_path / "out.pdf"
    environment = {**os.environ, "HOMEVIGIL_SERVER_DATABASE_URL": database_url}

    def report(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "server", "report", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=90)

    made = report("bp", str(patient_id), "--last", "7d", "--until", until, "--lang", "zh", "--pdf", str(out), "--json")
    nobody = report("bp", "999999", "--json")

    assert made.returncode == 0, made.stderr
    figures = json.loads(made.stdout)
    assert figures["overall"]["n"] == 24
    assert figures["overall"]["systolic_mmhg"] == pytest.approx(fmean(pair[0] for pair in PAIRS[4:]))
    assert "家庭血压报告" in PdfReader(out).pages[0].extract_text()
    assert (nobody.returncode, "no patient 999999" in nobody.stderr) == (1, True)
    (noted,) = clinic.rows("select actor from audit_entry where act = 'report.made'")
    assert str(noted["actor"]).startswith("cli:")
