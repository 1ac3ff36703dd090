"""The patient's page: whose lines, which readings count, and that no extreme is lost however many there are."""

import re

import httpx2
import pytest
from fix_clinic import Clinic, local_at, words_of


@pytest.fixture
def browser(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.browser_client("doctor")[0]


def test_a_year_keeps_its_extremes_and_its_readings_in_pages(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.rows("select reading_make_room(now() - n * interval '25 days') from generate_series(0, 16) n")
    clinic.rows("update patient set enrolled_on = enrolled_on - 400 where patient_id = %s returning 1", patient_id)
    clinic.rows(
        """insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, systolic_mmhg, diastolic_mmhg,
                                quality, time_quality, zone, received_at, decoder)
           select %s, 'blood_pressure', now() - n * interval '12 hours', gen_random_uuid(), 'gw-1', 'cuff',
                  case n when 300 then 167 when 400 then 104 else 132 end, case n when 300 then 101 when 400 then 61 else 80 end,
                  'accepted', 'corrected', 'Asia/Shanghai', now(), 'test'
           from generate_series(1, 700) n returning 1""",
        patient_id,
    )

    year = browser.get(f"/p/{patient_id}?days=365&lang=en").text
    month = browser.get(f"/p/{patient_id}?days=30&lang=en").text

    chart = year[year.index('<svg class="chart"') :].partition("</svg>")[0]
    assert "<circle" not in chart  # columns instead of dots
    tops = [float(y) for y in re.findall(r'class="band [a-z]+" x="[\d.]+" y="([\d.]+)"', chart)]
    assert min(tops) == pytest.approx(24 + 268 * (220 - 167) / 180, abs=0.06)
    bottoms = [
        float(y) + float(height)
        for y, height in re.findall(
            r'class="band [a-z]+" x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', chart
        )
    ]
    assert max(bottoms) == pytest.approx(292 - 268 * (61 - 40) / 180, abs=0.06)
    assert "highest 167/101" in year
    assert "167/101" in words_of(year[year.index("The same in numbers") :])
    assert "167/101" not in month
    older = month
    seen: list[str] = []
    for _ in range(3):
        seen += re.findall(rf"/p/{patient_id}/r/([0-9a-f-]+)", older)
        (address,) = re.findall(r'href="([^"]+)" rel="next"', older)
        older = browser.get(f"/p/{patient_id}{address.replace('&amp;', '&')}").text
    assert len(seen) == len(set(seen)) == 120
    assert browser.get(f"/p/{patient_id}?before=yesterday").status_code == 404


def test_what_happened_stands_in_the_chart_and_in_words(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    patient_id, episode_id = clinic.high_patient("王秀英", doctor_id)
    program = clinic.client("doctor")
    resolved = {"resolution": "medication_changed", "note": "amlodipine 10 mg"}
    program.post(f"/api/v1/alerts/{episode_id}/resolve", headers={"If-Match": '"1"'}, json=resolved).raise_for_status()
    clinic.add_pressure(patient_id, local_at(1, 13), 236, 120)  # alone and far from all others
    clinic.rows(
        "insert into patient_threshold (patient_id, rule_id, version, parameters, set_by, set_at, reason) values"
        " (%s, 'bp-above-140-90-3-days', 1, '{\"systolic\": 150, \"diastolic\": 95}', 'lin', now(), 'frail') returning 1",
        patient_id,
    )

    page = browser.get(f"/p/{patient_id}?lang=en&days=7").text
    said = re.sub(r"\s+", " ", words_of(page))

    assert page.count('class="happened"') == 1
    assert "Medication changed – amlodipine 10 mg" in said
    assert page.count('class="doubted"') == 2  # the two ends of the doubted one
    assert "Hollow: doubtful, in no mean." in said
    assert "Lines: this patient's own (systolic pressure 150, diastolic pressure 95), set by lin" in said
    assert "Morning 146.0/90.5 12.2/7.2 4" in said
    assert "frail" in said


def test_readings_can_be_asked_for_by_kind_and_meters_are_named(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.add_pressure(patient_id, local_at(1, 8), 131, 81)
    clinic.add_value(patient_id, "weight", local_at(2, 8), weight_kg=70.4)
    clinic.rows(
        "insert into gateway (gateway_id, zone, last_heard_at) values ('gw-1', 'Asia/Shanghai', now()) returning 1"
    )
    clinic.rows(
        "insert into meter_binding (meter_id, gateway_id, patient_id, bound_by, valid_from)"
        " values ('F0:00:00:10:00:77', 'gw-1', %s, 'lin', now() - interval '9 days') returning 1",
        patient_id,
    )

    weights = words_of(browser.get(f"/p/{patient_id}?lang=en&kind=weight").text)

    assert "70.4" in weights
    assert "131/81 mmHg" not in weights
    assert "F0:00:00:10:00:77" in weights
    assert "none in 30 days" in weights
