"""What is said to whom, and what a webhook may know."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from server.push import texts
from server.push.webhook import body_of
from server.rules.load import load_catalog
from server.store.pushes import Leased

RULES = load_catalog()
SENTENCE = {"en": "Mean 152/94 on 3 days.", "zh": "3 天均值 152/94。"}
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def leased(step: int = 0) -> Leased:
    return Leased(
        push_id=UUID(int=1),
        episode_id=UUID(int=2),
        patient_id=3,
        recipient="clinic:1",
        channel="webhook",
        kind="opening",
        step=step,
        attempts=1,
        due_at=NOW,
        created_at=NOW,
        now=NOW + timedelta(minutes=1),
        rule_id="bp-critical",
        priority="medium",
    )


@pytest.mark.parametrize("rule", [rule for rule in RULES.rules if "patient" in rule.tell], ids=lambda rule: rule.id)
def test_the_patient_hears_the_rules_own_words_in_both_languages(rule: object) -> None:
    text = texts.to_patient(RULES, rule.id)  # type: ignore[attr-defined]
    assert set(text) == {"en", "zh"}
    assert all(said["title"] and said["body"] for said in text.values())


def test_a_critical_message_names_the_emergency_number_and_the_symptoms() -> None:
    text = texts.to_patient(RULES, "bp-critical")
    assert "120" in text["zh"]["body"]
    assert "胸痛" in text["zh"]["body"]
    assert "emergency number" in text["en"]["body"]
    assert "chest pain" in text["en"]["body"]


def test_the_doctor_hears_title_and_reason() -> None:
    text = texts.to_doctor(RULES, "bp-critical", SENTENCE)
    assert text["en"] == {"title": RULES.by_id("bp-critical").title["en"], "body": SENTENCE["en"]}


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        (texts.to_doctor(RULES, "bp-critical", SENTENCE, again=True), "Again: "),
        (texts.reminder(RULES, "bp-critical", SENTENCE), "Not yet acknowledged: "),
        (texts.retraction(RULES, "bp-critical", SENTENCE), "Withdrawn: "),
        (texts.escalation(RULES, "bp-critical", SENTENCE), "Nobody has acknowledged: "),
        (
            texts.undelivered(texts.to_doctor(RULES, "bp-critical", SENTENCE)),
            "Could not be delivered, please see to it: ",
        ),
    ],
)
def test_later_messages_say_what_they_are(text: texts.Text, opening: str) -> None:
    assert text["en"]["title"].startswith(opening)
    assert SENTENCE["zh"] in text["zh"]["body"]


def test_a_rule_that_is_gone_is_named_by_its_id() -> None:
    assert texts.retraction(RULES, "rule-of-yesterday", SENTENCE)["zh"]["title"].endswith("rule-of-yesterday")


def test_a_call_says_numbers_only_and_the_same_on_every_attempt() -> None:
    first = body_of(leased())
    assert json.loads(first)["data"] == {
        "alert_id": str(UUID(int=2)),
        "patient_id": 3,
        "priority": "medium",
        "rule_id": "bp-critical",
    }
    assert body_of(leased()) == first
