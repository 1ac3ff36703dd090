"""What the product is for, once through in a real browser: from signing in to the paper in the patient's hand.

A doctor signs in and sees who waits; meanwhile somebody graver arrives; the doctor opens the alert, acknowledges it, calls in
vain, calls again from the follow-up, and prints the report. In both languages, on a screen and on a phone.
"""

import io

import pytest
from fix_clinic import PASSWORD, Clinic
from playwright.sync_api import BrowserContext, Page, expect
from pypdf import PdfReader

from server.web import pdf
from server.web.words import Language, Words

pytestmark = pytest.mark.chromium

NAME, GRAVER = "王秀英", "李强"


@pytest.mark.unbalanced
@pytest.mark.parametrize(("width", "height"), [(1280, 860), (360, 780)], ids=["screen", "phone"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_from_signing_in_to_the_report(
    clinic: Clinic, doctor_id: int, context: BrowserContext, language: Language, width: int, height: int
) -> None:
    say = Words(language=language).say
    patient_id, episode_id = clinic.high_patient(NAME, doctor_id, phone="139 0000 1111")
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))

    page.goto(f"{clinic.url}/login?lang={language}")
    page.get_by_label(say("Login")).fill("doctor")
    page.get_by_label(say("Password"), exact=True).fill(PASSWORD)
    page.locator("main button.primary").click()
    row = page.locator(f"#patient-{patient_id}")
    expect(row).to_contain_text("152/94")

    _somebody_graver_arrives(clinic, doctor_id, page)
    row.locator(".sentence a").first.click()
    page.wait_for_url(f"{clinic.url}/a/{episode_id}")
    expect(page.get_by_role("region", name=say("Readings that the rule judged"))).to_contain_text("149/92")
    page.get_by_role("button", name=say("Acknowledge")).click()
    expect(page.locator(".state-word")).to_have_text(say("Acknowledged"))
    page.get_by_label(say("Outcome: %(name)s", name=NAME)).click()
    page.get_by_role("button", name=say("No answer")).click()
    expect(page.locator(".state-word")).to_have_text(say("Resolved"))

    page.locator(".next-step a").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(NAME)
    page.get_by_label(say("Reached: %(name)s", name=NAME)).click()
    page.get_by_label(say("What was said (optional)")).fill("takes it again")
    page.get_by_role("button", name=say("Visit arranged")).click()
    closed = clinic.rows("select state, outcome from follow_up where patient_id = %s", patient_id)
    assert closed == [{"state": "closed", "outcome": "visit_arranged"}]

    page.goto(f"{clinic.url}/p/{patient_id}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("link", name=say("Blood pressure report")).click()
    text = _paper(page, say("PDF"))
    for each in (NAME, say("Home blood pressure report"), "155/96"):
        assert each in text, each
    acts = {str(row["act"]) for row in clinic.rows("select act from audit_entry where patient_id = %s", patient_id)}
    assert {"record.read", "alert.acknowledge", "alert.resolve", "report.made"} <= acts


def _somebody_graver_arrives(clinic: Clinic, doctor_id: int, page: Page) -> None:
    """It is said, and nothing moves under the pointer until the doctor asks for it."""
    rows = page.locator(".row")
    rows.first.hover()
    place = rows.first.bounding_box()
    clinic.critical_patient(GRAVER, doctor_id)
    expect(page.locator(".news")).to_be_visible()
    expect(rows).to_have_count(1)
    assert rows.first.bounding_box() == place
    page.locator(".news").click()
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text(GRAVER)


def _paper(page: Page, name: str) -> str:
    """What can be read on the PDF that the page leads to."""
    if not pdf.is_available():
        pytest.skip(
            "WeasyPrint or Pango is missing; to run this: sudo apt-get install libpangoft2-1.0-0 fonts-noto-cjk"
        )
    with page.expect_download() as coming:
        page.get_by_role("link", name=name).click()
    paper = PdfReader(io.BytesIO(coming.value.path().read_bytes()))
    assert len(paper.pages) == 1
    return paper.pages[0].extract_text()
