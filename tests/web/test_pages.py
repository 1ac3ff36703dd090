"""What the pages say, without a browser: order, wording, lines, and what is never said."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import UUID

import httpx2
import pytest
from fix_clinic import Clinic, local_at, words_of

from server.people import links
from server.people.rule_texts import Condition, text_of, texts_of, trend_conditions
from server.rules.load import load_catalog
from server.store import reading_lists
from server.store.postgres import transaction
from server.store.reading_lists import ShownReading
from server.web.history import Span, is_past, own_conditions, slot_of
from server.web.own_page import Standing, merge, pick, stand
from server.web.rows import age_of

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
TEXTS = texts_of(load_catalog())
TREND = trend_conditions(TEXTS)[1]
CRITICAL = text_of(TEXTS, "bp-critical").conditions


@pytest.fixture
def browser(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.browser_client("doctor")[0]


def test_the_gravest_comes_first_then_who_has_waited_longest(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    clinic.add_patient("Calm", doctor_id)
    clinic.high_patient("Shorter", doctor_id)
    longer, _ = clinic.high_patient("Longer", doctor_id)
    clinic.rows("update episode set opened_at = opened_at - interval '1 day' where patient_id = %s returning 1", longer)
    clinic.critical_patient("Critical", doctor_id)

    attention = browser.get("/?lang=en").text
    everybody = browser.get("/?lang=en&tab=all").text

    assert _names(attention) == ["Critical", "Longer", "Shorter"]
    assert _names(everybody) == ["Critical", "Longer", "Shorter", "Calm"]
    assert "3 of 4 patients need attention" in attention


def test_the_alerts_of_one_patient_are_one_row(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.add_pressure(patient_id, clinic.clock() - timedelta(minutes=2), 188, 112)
    clinic.judge(patient_id)

    page = browser.get("/?lang=en").text

    assert _names(page) == ["王秀英"]
    assert page.count('class="reason"') == 2
    assert page.index("188/112") < page.index("152/94")  # the graver first


def test_a_critical_row_carries_the_symptoms_and_the_number_to_call(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    clinic.critical_patient("李强", doctor_id)

    english, chinese = browser.get("/?lang=en").text, browser.get("/?lang=zh").text

    for symptom in ("chest pain", "shortness of breath", "difficulty speaking", "vomiting", "call 120"):
        assert symptom in english
    for symptom in ("胸痛", "气短", "说话困难", "呕吐", "拨打 120"):
        assert symptom in chinese


def test_nobody_is_ever_said_to_be_well(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    measured = clinic.add_patient("Measured", doctor_id)
    clinic.add_pressure(measured, clinic.clock() - timedelta(hours=5), 124, 78)
    silent = clinic.add_patient("Silent", doctor_id)
    waiting = browser.get(f"/p/{measured}?lang=en").text
    clinic.judge(measured)

    page = browser.get("/?tab=all&lang=en").text

    assert "Waiting to be assessed for" in waiting
    assert re.search(r"Last assessed .* ago on 1 reading in 30 days", page)
    assert "Nothing to assess: no reading in 30 days" in browser.get(f"/p/{silent}?lang=en").text
    assert "124/78, 5 hours ago" in page


def test_a_measurement_that_failed_lends_no_older_value_its_time(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("Measured", doctor_id)
    clinic.add_pressure(patient_id, clinic.clock() - timedelta(hours=5), 124, 78)
    clinic.add_pressure(
        patient_id, clinic.clock() - timedelta(minutes=2), 151, None, quality="invalid", reasons=["value_special"]
    )

    page = words_of(browser.get("/?tab=all&lang=en").text)

    assert "124/78, 5 hours ago" in page
    assert "151" not in page


def test_a_value_that_is_not_to_be_believed_is_not_read_aloud(clinic: Clinic, doctor_id: int) -> None:
    patient_id = clinic.add_patient("Measured", doctor_id)
    at = clinic.clock() - timedelta(minutes=2)
    clinic.add_pressure(patient_id, at, 80, 94, quality="invalid", reasons=["range"])
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))

    page = clinic.client().get(f"/me/{token}?lang=en").text

    assert 'data-text="This measurement did not work' in page


def test_rule_and_version_are_said_where_the_reason_is(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    clinic.high_patient("王秀英", doctor_id)

    page = unescape(browser.get("/?lang=en").text)

    assert (
        'title="Blood pressure above 140/90 on 3 measured days in a row (rule bp-above-140-90-3-days, version 1)"'
        in page
    )


def test_a_patients_own_thresholds_are_the_lines_of_the_chart(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.add_pressure(patient_id, local_at(1, 8), 152, 94)
    for version, systolic in ((1, 145), (2, 155)):
        clinic.rows(
            "insert into patient_threshold values (%s, 'bp-above-140-90-3-days', %s, %s::jsonb, 'lin', now()) returning 1",
            patient_id,
            version,
            f'{{"systolic": {systolic}, "diastolic": 95}}',
        )

    page = browser.get(f"/p/{patient_id}?lang=en").text

    assert re.findall(r'class="threshold-name"[^>]*>(\d+)<', page) == ["155", "95"]
    assert "0 of them past the line 155/95" in page
    assert "past the line</span>" not in page


def test_what_a_reading_is_worth_is_said_beside_it(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.add_pressure(patient_id, local_at(1, 8), 190, 110, quality="rejected", reasons=["body_movement"])
    clinic.add_pressure(patient_id, local_at(1, 9), None, None, quality="invalid", reasons=["value_special"])
    clinic.add_pressure(patient_id, local_at(2, 9), 120, 70, time_quality="orphan")

    page = unescape(browser.get(f"/p/{patient_id}?lang=en").text)

    assert "Not used (body moved)" in page
    assert "No valid value (the meter gave no number)" in page
    assert "measurement failed" in page
    assert "time unknown" in page


OTHER_KINDS = {
    "weight": ({"weight_kg": 81.4, "unit_sent": "lb"}, "81.4 kg", ("Weight", "体重")),
    "oxygen_saturation": ({"spo2_percent": 93.0, "pulse_bpm": 88.0}, "93 %", ("Blood oxygen", "血氧")),
    "heart_rate": ({"pulse_bpm": 58.0}, "58 bpm", ("Heart rate", "心率")),
    "temperature": ({"temperature_celsius": 38.4, "unit_sent": "°F"}, "38.4 °C", ("Temperature", "体温")),
    "sensor_glucose": ({"glucose_mmol_l": 6.2, "glucose_mg_dl": 112.0}, "6.2 mmol/L", ("Sensor glucose", "动态血糖")),
}


@pytest.mark.parametrize(("language", "index"), [("en", 0), ("zh", 1)])
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_every_kind_is_shown_with_its_name_its_value_and_its_unit(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client, kind: str, language: str, index: int
) -> None:
    values, shown, names = OTHER_KINDS[kind]
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.add_value(patient_id, kind, clinic.clock() - timedelta(minutes=2), **values)
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))

    worklist, record, own = (
        re.sub(r"\s+", " ", words_of(browser.get(f"{path}lang={language}").text))
        for path in ("/?tab=all&", f"/p/{patient_id}?", f"/me/{token}?")
    )

    assert f"{names[index]} {shown}" in worklist
    assert f"{shown} {names[index]}" in record
    assert f"{names[index]} {shown}" in own
    for page in (worklist, record, own):
        assert "mmHg" not in page
        assert ("mmol/L" in page) is (kind == "sensor_glucose")


def test_a_scale_that_failed_is_said_to_have_failed_and_is_not_called_a_blood_pressure(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    at = clinic.clock() - timedelta(minutes=2)
    clinic.add_value(patient_id, "weight", at, quality="invalid", reasons=["value_special"])
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))

    record = re.sub(r"\s+", " ", words_of(browser.get(f"/p/{patient_id}?lang=en").text))
    own = clinic.client().get(f"/me/{token}?lang=en").text

    assert "measurement failed Weight" in record
    assert "This measurement did not work" in own
    assert "Measure again." in own
    assert "arm" not in words_of(own)


def test_a_worn_sensor_takes_no_place_from_what_was_measured_by_hand(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("王秀英", doctor_id)
    clinic.add_pressure(patient_id, clinic.clock() - timedelta(days=20), 152, 94)
    clinic.add_value(patient_id, "sensor_glucose", clinic.clock() - timedelta(minutes=2), glucose_mmol_l=6.2)
    clinic.rows("select reading_make_room(now() - interval '3 days')")
    clinic.rows(
        """insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, glucose_mmol_l, quality,
                                time_quality, zone, received_at, decoder)
           select patient_id, kind, measured_at - n * interval '5 minutes', gen_random_uuid(), gateway_id, meter_id, 7.7,
                  quality, time_quality, zone, received_at, decoder
           from reading, generate_series(1, 600) n where kind = 'sensor_glucose' returning 1"""
    )
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))
        kept = reading_lists.list_panel_values(conn, [patient_id], since=clinic.clock() - timedelta(days=30))

    record = words_of(browser.get(f"/p/{patient_id}?lang=en").text)
    own = re.sub(r"\s+", " ", words_of(clinic.client().get(f"/me/{token}?lang=en").text))

    assert [(each.kind, each.value) for each in kept] == [("blood_pressure", None), ("sensor_glucose", 6.2)]
    assert "152/94" in record
    assert "7.7" not in record
    assert words_of(browser.get(f"/p/{patient_id}?lang=en&kind=sensor_glucose").text).count("7.7") == 39  # a page
    assert "Sensor glucose 6.2 mmol/L" in own
    assert "1 time" in own


def test_a_name_cannot_become_markup(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    patient_id, episode_id = clinic.high_patient("<script>alert(1)</script>", doctor_id)

    for path in ("/", f"/p/{patient_id}", f"/a/{episode_id}"):
        assert "<script>alert" not in browser.get(path).text


def test_no_page_has_a_script_or_a_style_of_its_own(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    patient_id, episode_id = clinic.critical_patient("李强", doctor_id)
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))

    for path in ("/", f"/p/{patient_id}", f"/a/{episode_id}", "/inbox", "/login", f"/me/{token}"):
        page = browser.get(path).text
        assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []
        assert set(re.findall(r"https?://[^\"'\s<]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_a_link_opens_one_patients_page_until_it_is_revoked(clinic: Clinic, doctor_id: int) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.deliver()
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))
    phone = clinic.client()

    page = phone.get(f"/me/{token}").text
    with transaction(clinic.pool) as conn:
        links.revoke_patient_links(conn, patient_id, now=clinic.clock())

    assert "王秀英" in page
    assert "155/96" in page
    assert "偏高" in page
    assert "来自您诊所的提醒" in page
    assert "tel:+862155550100" in page
    assert phone.get(f"/me/{token}").status_code == 404


def test_a_message_taken_back_says_so_on_the_own_page(clinic: Clinic, doctor_id: int) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    clinic.deliver()
    clinic.rows("update push set state = 'withdrawn' where recipient = 'patient' returning 1")
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))

    assert "已撤回：不再适用" in clinic.client().get(f"/me/{token}").text


def test_no_more_than_the_sent_messages_reach_the_own_page(clinic: Clinic, doctor_id: int) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=clinic.clock(), valid_for=timedelta(days=1))

    assert "没有消息。" in clinic.client().get(f"/me/{token}").text


@pytest.mark.parametrize(
    ("systolic", "diastolic", "quality", "standing"),
    [
        (None, None, "invalid", Standing.UNUSABLE),
        (118.0, 76.0, "rejected", Standing.UNUSABLE),
        (188.0, 100.0, "accepted", Standing.VERY_HIGH),
        (150.0, 120.0, "accepted", Standing.VERY_HIGH),
        (188.0, 100.0, "rejected", Standing.VERY_HIGH),
        (141.0, 80.0, "accepted", Standing.HIGH),
        (130.0, 91.0, "accepted", Standing.HIGH),
        (140.0, 90.0, "accepted", Standing.BELOW_LINE),
        (89.0, 50.0, "accepted", Standing.LOW),
        (90.0, 50.0, "accepted", Standing.BELOW_LINE),
    ],
)
def test_the_own_page_calls_a_value_by_its_name(
    systolic: float | None, diastolic: float | None, quality: str, standing: Standing
) -> None:
    reading = _reading(NOW, systolic=systolic, diastolic=diastolic, quality=quality)

    assert stand(reading, TREND, CRITICAL) is standing


def test_a_blood_pressure_of_today_is_not_hidden_behind_a_finger_stick() -> None:
    very_high = _reading(NOW - timedelta(hours=1), systolic=190, diastolic=120)
    sugar = _reading(NOW, kind="glucose", glucose=7.0)
    orphan = _reading(NOW, systolic=100, diastolic=60, time_quality="orphan")
    old = _reading(NOW - timedelta(days=2), systolic=120, diastolic=70)

    assert pick([sugar, very_high], NOW) is very_high
    assert pick([orphan, sugar, old], NOW) is sugar
    assert pick([orphan], NOW) is None
    assert stand(None, TREND, CRITICAL) is Standing.NONE
    assert stand(sugar, TREND, CRITICAL) is Standing.NOTED


def test_a_worn_sensor_hides_no_blood_pressure_and_what_it_lacks_is_not_shown() -> None:
    weight = _reading(NOW - timedelta(hours=2), kind="weight", weight=81.4)
    worn = [_reading(NOW - timedelta(minutes=5 * n), kind="sensor_glucose", glucose=7.0) for n in range(12)]
    lost = _reading(NOW, kind="sensor_glucose", quality="invalid")
    pressure = _reading(NOW - timedelta(hours=3), systolic=150, diastolic=92)

    assert pick(merge([weight, pressure], [lost, *worn]), NOW) is pressure
    assert pick(merge([weight], [lost, *worn]), NOW) is worn[0]
    assert pick(merge([weight], [lost]), NOW) is weight
    assert stand(weight, TREND, CRITICAL) is Standing.NOTED
    assert stand(_reading(NOW, kind="weight", quality="invalid"), TREND, CRITICAL) is Standing.UNUSABLE


def test_a_line_is_passed_as_its_rule_says() -> None:
    at_line = _reading(NOW, systolic=140, diastolic=120)

    assert not Condition(signal="systolic", comparison="above", value=140).is_met_by(140)
    assert Condition(signal="systolic", comparison="at_least", value=140).is_met_by(140)
    assert Condition(signal="systolic", comparison="below", value=90).is_met_by(89)
    assert Condition(signal="systolic", comparison="at_most", value=90).is_met_by(90)
    assert is_past(at_line, CRITICAL)
    assert not is_past(at_line, own_conditions(CRITICAL, {"diastolic": 125}))


def test_a_day_is_one_day_wide_also_when_the_clocks_change() -> None:
    span = Span.ending(datetime(2026, 10, 26, 12, tzinfo=UTC), days=3, zone="Europe/Berlin")
    before = datetime(2026, 10, 24, 10, tzinfo=UTC)  # 12:00 summer time; the clocks go back on the 25th
    after = datetime(2026, 10, 25, 11, tzinfo=UTC)  # 12:00 winter time

    assert (span.place(before), span.place(after)) == (0.5, 1.5)


def test_morning_begins_where_the_clinical_day_does() -> None:
    hours = {hour: slot_of(datetime(2026, 11, 21, hour, 0)) for hour in range(24)}  # noqa: DTZ001 - a wall clock

    assert [hour for hour, slot in hours.items() if slot == "morning"] == list(range(3, 12))
    assert [hour for hour, slot in hours.items() if slot == "evening"] == [0, 1, 2, *range(17, 24)]


def test_an_age_is_counted_on_the_patients_own_calendar() -> None:
    birthday = NOW.astimezone(UTC).date().replace(year=1950)

    assert age_of(birthday, NOW, "Asia/Shanghai") == 76
    assert age_of(birthday, NOW, "Pacific/Honolulu") == 75  # there it is still the day before
    assert age_of(None, NOW, "Asia/Shanghai") is None


def _names(page: str) -> list[str]:
    return re.findall(r'<h2><a href="/p/\d+">([^<]+)</a></h2>', page)


def _reading(
    at: datetime,
    *,
    kind: str = "blood_pressure",
    systolic: float | None = None,
    diastolic: float | None = None,
    glucose: float | None = None,
    weight: float | None = None,
    quality: str = "accepted",
    time_quality: str = "corrected",
) -> ShownReading:
    return ShownReading(
        reading_id=UUID(int=1),
        kind=kind,
        measured_at=at,
        received_at=at,
        meter_id="F0:00:00:10:00:01",
        user_slot=None,
        systolic_mmhg=systolic,
        diastolic_mmhg=diastolic,
        mean_mmhg=None,
        pulse_bpm=None,
        glucose_mmol_l=glucose,
        glucose_mg_dl=None,
        glucose_censored=None,
        meal=None,
        weight_kg=weight,
        spo2_percent=None,
        temperature_celsius=None,
        unit_sent=None,
        quality=quality,
        quality_reasons=(),
        time_quality=time_quality,
        meter_time=None,
        clock_offset_s=None,
        zone="Asia/Shanghai",
    )
