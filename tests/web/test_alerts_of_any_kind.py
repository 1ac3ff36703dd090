"""Alerts of weight, oxygen and glucose where people see them: the row with its own chart, the evidence, both languages."""

import re
from dataclasses import fields
from datetime import timedelta

import pytest
from fix_chromium import SignIn
from fix_clinic import Clinic, local_at
from playwright.sync_api import BrowserContext, expect

from server import clock
from server.people.rule_texts import Condition, texts_of
from server.rules.load import load_catalog
from server.store.reading_lists import PanelValue
from server.web.history import Span, is_past, lines_of
from server.web.row_pictures import draw_rows
from server.web.words import Words

ROWS = {
    "glucose": (
        "Glucose 2.6 mmol/L, below 3 (unconfirmed)",
        "血糖 2.6 mmol/L，低于 3（未确认）",
        "Glucose, last 14 days: 2 readings; lowest 2.6, highest 6.1, latest 2.6 mmol/L.",
    ),
    "oxygen_saturation": (
        "Oxygen saturation 90 %, at or below 91 (unconfirmed)",
        "血氧饱和度 90 %，不高于 91（未确认）",
        "Blood oxygen, last 14 days: 2 readings; lowest 90, highest 96, latest 90 %.",
    ),
    "weight": (
        "Morning weight rose by 2.4 kg from the lowest of the 3 days before, to 73.4 kg (limit 2 kg)",
        "晨间体重较前 3 天的最低值上升 2.4 kg，至 73.4 kg（界限 2 kg）",
        "Weight, last 14 days: 3 readings; lowest 71.0, highest 73.4, latest 73.4 kg.",
    ),
}


def alarmed(clinic: Clinic, doctor_id: int, kind: str) -> int:
    """A patient with normal pressures and one alert of this kind."""
    patient_id = clinic.add_patient(f"Patient {kind}", doctor_id)
    clinic.add_pressure(patient_id, local_at(1, 7, 30), 122, 78)
    now = clock.now()
    match kind:
        case "glucose":
            clinic.add_glucose(patient_id, local_at(1, 7, 0), 6.1)
            clinic.add_glucose(patient_id, now - timedelta(minutes=2), 2.6)
        case "oxygen_saturation":
            clinic.add_value(patient_id, kind, local_at(1, 8, 0), spo2_percent=96.0)
            clinic.add_value(patient_id, kind, now - timedelta(minutes=2), spo2_percent=90.0)
        case "weight":
            clinic.rows(
                "insert into patient_threshold (patient_id, rule_id, version, parameters, set_by, set_at, is_watched)"
                " values (%s, 'weight-up-2-kg-3-days', 1, '{}', %s, now(), true)",
                patient_id,
                doctor_id,
            )
            for back, kg in ((3, 71.0), (2, 71.6), (1, 73.4)):
                clinic.add_value(patient_id, kind, local_at(back, 7, 0), weight_kg=kg, unit_sent="kg")
    clinic.judge(patient_id)
    return patient_id


@pytest.mark.chromium
@pytest.mark.parametrize("kind", ROWS)
def test_a_row_shows_what_its_alert_is_about(
    clinic: Clinic, doctor_id: int, context: BrowserContext, kind: str, sign_in: SignIn
) -> None:
    english, chinese, says = ROWS[kind]
    patient_id = alarmed(clinic, doctor_id, kind)
    page = sign_in()
    row = page.locator(f"#patient-{patient_id}")
    expect(row).to_contain_text(english)
    expect(row.get_by_role("img")).to_have_attribute("aria-label", says)
    expect(row.locator(".sparkline").locator("xpath=preceding-sibling::p")).to_have_count(0)
    expect(row.locator(".symptoms")).to_have_count(0)

    row.get_by_role("link", name=english).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(english)
    page.goto(f"{clinic.url}/p/{patient_id}")
    expect(page.locator("#pressures ~ .wide .threshold-name")).to_have_text(["140", "90"])
    page.goto(f"{clinic.url}/?lang=zh")
    expect(page.locator(f"#patient-{patient_id}")).to_contain_text(chinese)


@pytest.mark.chromium
def test_a_row_draws_every_sign_that_its_alert_is_about(
    clinic: Clinic, doctor_id: int, context: BrowserContext, sign_in: SignIn
) -> None:
    patient_id = clinic.add_patient("Patient of two signs", doctor_id)
    clinic.rows(
        "insert into patient_threshold (patient_id, rule_id, version, parameters, set_by, set_at, is_watched)"
        " values (%s, 'fever-and-low-oxygen', 1, '{}', %s, now(), true)",
        patient_id,
        doctor_id,
    )
    clinic.add_pressure(patient_id, local_at(1, 7, 30), 122, 78)
    now = clock.now()
    clinic.add_value(patient_id, "temperature", now - timedelta(minutes=5), temperature_celsius=38.6, unit_sent="°C")
    clinic.add_value(patient_id, "oxygen_saturation", now - timedelta(minutes=2), spo2_percent=93.0)
    clinic.judge(patient_id)

    page = sign_in()
    row = page.locator(f"#patient-{patient_id}")
    expect(row.locator(".sentence")).to_have_count(1)
    expect(row.locator(".sparkline .threshold-name")).to_have_text(["38.1", "93"])
    pictures = row.get_by_role("img")
    expect(pictures).to_have_count(2)
    expect(row.locator(".sparkline").locator("xpath=preceding-sibling::p[1]")).to_have_text(
        ["Temperature", "Blood oxygen"]
    )
    expect(pictures.nth(0)).to_have_attribute("aria-label", re.compile("^Temperature, last 14 days: 1 readings"))
    expect(pictures.nth(1)).to_have_attribute("aria-label", re.compile("^Blood oxygen, last 14 days: 1 readings"))

    english = (
        "Highest temperature 38.6 °C over 24 hours (1 reading), at or above 38.1; and oxygen saturation at or below 93 %"
        " in the last reading: 93"
    )
    row.get_by_role("link", name=english).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(english)
    expect(page.locator("section[aria-labelledby=evidence] tbody tr")).to_have_count(2)
    page.goto(f"{clinic.url}/?lang=zh")
    expect(page.locator(f"#patient-{patient_id}")).to_contain_text("；且最近 1 次读数的血氧饱和度不高于 93 %：93")

    page.goto(f"{clinic.url}/p/{patient_id}/rules?lang=en")
    section = page.locator("#fever-and-low-oxygen")
    expect(section).to_contain_text("Judges this patient")
    expect(section.locator("input[name=number]")).to_have_count(0)
    expect(section.locator("select[name=watch]")).to_have_count(1)


def value(kind: str, **values: float) -> PanelValue:
    absent = dict.fromkeys(field.name for field in fields(PanelValue))
    facts = {"patient_id": 1, "kind": kind, "measured_at": local_at(1, 7, 0), "quality": "accepted"}
    return PanelValue(**{**absent, **facts, **values})  # type: ignore[arg-type]


def test_a_limit_is_a_line_only_of_what_it_limits() -> None:
    low = Condition(signal="glucose", comparison="below", value=3.0, unit="mmol/L")
    assert lines_of([low], "glucose") == (3.0,)
    assert lines_of([low], "blood_pressure") == ()
    assert is_past(value("glucose", glucose_mmol_l=2.6), [low])
    assert not is_past(value("glucose", glucose_mmol_l=3.0), [low])
    assert not is_past(value("weight", weight_kg=2.5), [low])


def test_a_limit_on_a_spread_a_rise_or_a_share_is_no_line() -> None:
    texts = texts_of(load_catalog())
    lined = {rule_id for rule_id, text in texts.items() if text.has_lines}
    assert {"bp-week-at-145-90", "spo2-at-93", "glucose-low-3-0", "glucose-fasting-above-7"} <= lined
    without = {
        "bp-variability",
        "glucose-sd-above-3",
        "glucose-spread-above-4-4",
        "glucose-rise-above-2-2",
        "weight-up-2-kg-3-days",
        "irregular-pulse",
        "sensor-in-range-below-70",
        "pregnancy-jump-above-20",
    }
    assert not without & lined


def test_the_symptoms_of_the_heart_association_belong_to_critical_pressures_alone() -> None:
    texts = texts_of(load_catalog())
    critical = {rule_id for rule_id, text in texts.items() if text.is_critical}
    assert critical == {"bp-critical", "bp-critical-repeat", "bp-critical-late"}


def test_weights_are_drawn_around_their_own_middle() -> None:
    words, span = Words(language="en"), Span.ending(clock.now(), days=14, zone="Asia/Shanghai")
    ((_, heavy),) = draw_rows([value("weight", weight_kg=182.4)], span, (), words, kinds=["weight"])
    assert " 28.8a" in heavy, "a circle between 177 and 187 kg"
    assert "lowest 182.4" in heavy
