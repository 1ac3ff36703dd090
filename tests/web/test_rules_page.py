"""The page of the rules: by what people are judged, who let it, and what waits with its differences."""

import httpx2
import pytest
from fix_clinic import Clinic, words_of

from server.people.rule_changes import Place, places
from server.rules.load import load_catalog
from server.rules.rule import RuleFile, RuleSet
from server.store import rule_book
from server.store.postgres import transaction

RULE = "bp-above-140-90-3-days"


@pytest.fixture
def signed_in(clinic: Clinic, doctor_id: int) -> tuple[httpx2.Client, str]:
    return clinic.browser_client("doctor")


def bring_version_2(clinic: Clinic) -> str:
    """A new release with a stricter three-day rule; the hash of its text."""
    written = load_catalog().by_id(RULE).model_dump(mode="json", exclude_unset=True, by_alias=True)
    written["version"] = 2
    written["when"]["any_of"][0]["above"] = 135.0
    written["when"]["days"] = 4
    (rule,) = RuleFile.model_validate({"rules": [written]}).rules
    with transaction(clinic.pool) as conn:
        rule_book.enter(conn, RuleSet((rule,)))
    return rule_book.hash_of(rule_book.content_of(rule))


def post(signed_in: tuple[httpx2.Client, str], action: str, **form: str) -> httpx2.Response:
    browser, csrf_token = signed_in
    return browser.post(f"/rules/{RULE}/2/{action}?lang=en", data={"csrf_token": csrf_token, **form})


def test_every_rule_in_force_is_shown_with_its_source_and_all_that_it_says(
    clinic: Clinic, signed_in: tuple[httpx2.Client, str]
) -> None:
    english, chinese = (words_of(signed_in[0].get(f"/rules?lang={language}").text) for language in ("en", "zh"))

    for rule in load_catalog().rules:
        assert rule.title["en"] in english
        assert rule.title["zh"] in chinese
        assert rule.source in english
    assert english.count("was in force before there were approvals") == len(load_catalog().rules)
    assert "when › any_of › 1 › above" in english


def test_what_waits_is_shown_with_what_is_different_and_approved_by_name(
    clinic: Clinic, signed_in: tuple[httpx2.Client, str]
) -> None:
    browser, _ = signed_in
    sha256 = bring_version_2(clinic)
    patient_id = clinic.add_patient("李强", None)

    page = browser.get("/rules?lang=en").text
    done = post(signed_in, "approve", sha256=sha256, is_read="yes", note="agreed in the round")
    after = words_of(browser.get("/rules?lang=en").text)

    assert "1 rule waits for a doctor's decision" in words_of(page)
    assert "<del>140</del>" in page
    assert "<ins>135</ins>" in page
    assert page.count("<del>") == 2  # and the days
    assert (done.status_code, done.headers["Location"]) == (303, "/rules")
    assert "Version 2: approved by Dr. Lin on" in after
    assert "(agreed in the round)" in after
    assert "In force: version 2" in after
    assert clinic.rows("select patient_id, reason from due where reason <> 'timer'") == [
        {"patient_id": patient_id, "reason": "rules"}
    ]


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"is_read": "yes", "sha256": "0" * 64}, 412),
        ({"is_read": "yes", "sha256": "none"}, 422),
        ({}, 422),
        ({"is_read": "no"}, 422),
        ({"is_read": "yes", "csrf_token": "forged"}, 403),
    ],
)
def test_nothing_is_approved_unread_unseen_or_for_somebody_else(
    clinic: Clinic, signed_in: tuple[httpx2.Client, str], form: dict[str, str], status: int
) -> None:
    sha256 = bring_version_2(clinic)

    answer = post(signed_in, "approve", **({"sha256": sha256} | form))

    assert answer.status_code == status
    assert clinic.rows("select 1 from rule_approval where approved_by is not null") == []


def test_who_is_no_doctor_reads_and_decides_nothing(clinic: Clinic, doctor_id: int) -> None:
    sha256 = bring_version_2(clinic)
    for role in ("nurse", "admin"):
        clinic.add_user(role, role)  # type: ignore[arg-type]
        theirs = clinic.browser_client(role)

        page = theirs[0].get("/rules?lang=en").text
        tried = post(theirs, "approve", sha256=sha256, is_read="yes")

        assert "What is different in version 2" in page
        assert "/approve" not in page
        assert (tried.status_code, "only a doctor lets a rule judge" in tried.text) == (403, True)
    assert clinic.rows("select 1 from rule_approval where approved_by is not null") == []


def test_what_was_decided_against_waits_no_more_and_says_by_whom(
    clinic: Clinic, signed_in: tuple[httpx2.Client, str]
) -> None:
    sha256 = bring_version_2(clinic)

    post(signed_in, "withdraw", sha256=sha256, note="too many alerts")
    second = post(signed_in, "withdraw", sha256=sha256)

    after = words_of(second.text)
    assert second.status_code == 412
    assert "Version 2: Dr. Lin decided against it on" in after
    assert "(too many alerts)" in after
    assert "wait for a doctor" not in after
    assert "In force: version 1" in after


def test_a_place_is_what_a_person_would_point_at() -> None:
    before = {"id": "a", "version": 1, "when": {"any_of": [{"above": 140.0}, {"above": 90.0}]}, "tell": ["doctor"]}
    after = {
        "id": "a",
        "version": 2,
        "when": {"any_of": [{"above": 135.5}]},
        "tell": ["patient", "doctor"],
        "note": "n",
    }

    assert [place for place in places(before, after) if place.is_changed] == [
        Place(path="when › any_of › 1 › above", before="140", after="135.5"),
        Place(path="tell", before="doctor", after="patient, doctor"),
        Place(path="note", before=None, after="n"),
        Place(path="when › any_of › 2 › above", before="90", after=None),
    ]
