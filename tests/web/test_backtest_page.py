"""Trying a rule on one's own panel: what it says, in both languages, and that it shows nobody else's patients."""

import re
from datetime import timedelta
from html import unescape

import httpx2
import pytest
from fix_clinic import Clinic, local_at, words_of
from structlog.testing import capture_logs

from server import clock
from server.rules.backtest import Span
from server.rules.load import load_catalog
from server.web.backtest_page import tried

THREE_DAYS = "bp-above-140-90-3-days"


@pytest.fixture
def browser(clinic: Clinic, doctor_id: int) -> httpx2.Client:
    return clinic.browser_client("doctor")[0]


def said_of(browser: httpx2.Client, *, lang: str = "en", status: int = 200, **query: object) -> str:
    answer = browser.get("/rules/backtest", params={"lang": lang, **{name: str(each) for name, each in query.items()}})
    assert answer.status_code == status, answer.text
    return " ".join(words_of(answer.text).split())


def test_it_says_what_the_rule_would_have_cost_the_panel(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    clinic.high_patient("王秀英", doctor_id)
    clinic.add_pressure(clinic.add_patient("李强", doctor_id), local_at(1, 8), 120, 80)
    clinic.high_patient("陌生人", None)

    english, chinese = (said_of(browser, lang=lang, rule=THREE_DAYS, days=30) for lang in ("en", "zh"))

    assert "2 patients, 9 readings, 30 days" in english
    assert "As the rule stands 1 1.67 1" in english
    assert "2 位患者，9 次读数，30 天" in chinese
    assert "按规则现值 1" in chinese
    assert "陌生人" not in english


def test_other_numbers_are_tried_beside_it_and_those_who_differ_are_named(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    clinic.high_patient("王秀英", doctor_id)
    said = said_of(browser, rule=THREE_DAYS, n_systolic=160, n_diastolic=100)
    assert "With the other numbers 0 0.00 0" in said
    assert "王秀英 : alerts: 1 as it stands, 0 with the other numbers" in said
    unchanged = said_of(browser, rule=THREE_DAYS, n_systolic=140, n_diastolic=90)
    assert "With the other numbers" not in unchanged


def test_who_is_always_under_alert_is_named_with_the_step_that_would_help(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    patient_id = clinic.add_patient("李强", doctor_id)
    for back in range(80, 0, -1):
        clinic.add_pressure(patient_id, local_at(back, 8), 143, 80)
    said = said_of(browser, rule=THREE_DAYS, days=30)
    assert "李强 : 0 alerts, 30 days under alert. With systolic pressure 145, diastolic pressure 95: 0, 0 days." in said
    assert "收缩压 145" in said_of(browser, lang="zh", rule=THREE_DAYS, days=30)


@pytest.mark.parametrize("value", ["high", "1e9", "-1", "nan"])
def test_numbers_that_do_not_fit_are_refused(clinic: Clinic, browser: httpx2.Client, value: str) -> None:
    assert "These numbers do not fit the rule." in said_of(browser, status=422, rule=THREE_DAYS, n_systolic=value)


def test_without_a_panel_or_a_rule_there_is_only_the_form(clinic: Clinic, browser: httpx2.Client) -> None:
    assert "Nobody is on your panel." in said_of(browser, rule=THREE_DAYS)
    assert "Try a rule on the past" in said_of(browser, rule="no-such-rule")


def test_nobody_sees_it_who_has_not_signed_in(clinic: Clinic) -> None:
    assert clinic.client().get("/rules/backtest", follow_redirects=False).status_code == 303


def test_it_says_how_far_it_is_before_anything_else_is_known_and_keeps_what_was_chosen_for_who_cancels(
    clinic: Clinic, doctor_id: int, browser: httpx2.Client
) -> None:
    clinic.high_patient("王秀英", doctor_id)
    clinic.add_patient("李强", doctor_id)
    page = browser.get("/rules/backtest", params={"lang": "en", "rule": THREE_DAYS, "days": 30, "n_systolic": 150}).text
    steps = [page.index(f"{done} of 2 patients") for done in (0, 1, 2)]
    assert steps == sorted(steps)
    assert steps[-1] < page.index('id="cost"')
    assert page.rstrip().endswith("</html>")
    (cancel,) = re.findall(r'class="button" href="([^"]+)"', page)
    said = words_of(browser.get("/rules/backtest" + unescape(cancel)).text)
    assert "Cancelled. Nothing has been counted." in said
    assert "With the other numbers" not in said
    assert 'value="150"' in browser.get("/rules/backtest" + unescape(cancel)).text


def test_who_goes_away_has_nobody_else_judged(clinic: Clinic, doctor_id: int, browser: httpx2.Client) -> None:
    clinic.high_patient("王秀英", doctor_id)
    clinic.add_patient("李强", doctor_id)
    rule, now = load_catalog().by_id(THREE_DAYS), clock.now()
    patient_ids = [row["patient_id"] for row in clinic.rows("select patient_id from patient order by patient_id")]
    with capture_logs() as logs:
        steps = tried(clinic.pool, rule, {}, patient_ids, Span(since=now - timedelta(days=30), until=now))
        assert next(steps) == 1
        steps.close()
    assert logs == [{"event": "backtest_cancelled", "judged": 1, "patients": 2, "log_level": "info"}]
