"""Being told in this browser, in a real Chromium: the button, the worker that shows what comes, and what a press on it opens.

The browser's maker is not reached from here: its push service, and what it gives a browser that subscribes, are played. What
comes is handed to the worker as the maker's service would, by Chromium's own protocol.
"""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from browser_told import Browser as Told
from browser_told import new_browser
from fix_chromium import SignIn
from fix_clinic import Clinic
from outside_world import WebService, web_service
from playwright.sync_api import BrowserContext, Page, expect

from server.clock import now
from server.people import links
from server.push import contact_book
from server.push.contact_book import Deed
from server.store.consents import Purpose, Word
from server.store.consents import add as say_consent
from server.store.postgres import transaction

pytestmark = pytest.mark.chromium

SUBSCRIBES = """
  const unsubscribe = async () => { sessionStorage.removeItem("made"); return true; };
  const made = (said) => said && ({ endpoint: said.endpoint, toJSON: () => said, unsubscribe });
  PushManager.prototype.getSubscription = async () => made(JSON.parse(sessionStorage.getItem("made")));
  PushManager.prototype.subscribe = async (options) => {
    sessionStorage.setItem("key", btoa(String.fromCharCode(...options.applicationServerKey)));
    sessionStorage.setItem("made", %r);
    return made(JSON.parse(%r));
  };
"""


@pytest.fixture
def maker() -> Iterator[WebService]:
    with web_service() as service:
        service.answers = [(201, {}, b"")]
        yield service


@pytest.fixture
def way(clinic: Clinic) -> None:
    with transaction(clinic.pool) as conn:
        deed = Deed(actor="cli:it", now=now())
        contact_book.add_channel(conn, deed, name="Browsers", url="webpush://it@clinic.example")


def may_tell(context: BrowserContext, maker: WebService) -> Told:
    """The person lets the house tell them, and the maker gives the browser an address."""
    browser = new_browser(f"{maker.url}/send/1")
    context.grant_permissions(["notifications"])
    context.add_init_script(SUBSCRIBES % (browser.subscription, browser.subscription))
    return browser


def hand_to_worker(page: Page, said: str) -> None:
    protocol = page.context.new_cdp_session(page)
    registrations: list[str] = []
    protocol.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registrations.extend(each["registrationId"] for each in event["registrations"]),
    )
    protocol.send("ServiceWorker.enable")
    page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    for _ in range(50):
        if registrations:
            break
        page.wait_for_timeout(100)
    origin = page.evaluate("location.origin")
    protocol.send(
        "ServiceWorker.deliverPushMessage", {"origin": origin, "registrationId": registrations[-1], "data": said}
    )


SHOWN = """async () => (await (await navigator.serviceWorker.ready).getNotifications())
  .map((each) => [each.title, each.body, each.tag, each.data.url, each.requireInteraction])"""


def test_a_clinician_is_told_in_this_browser(
    clinic: Clinic, doctor_id: int, way: None, context: BrowserContext, sign_in: SignIn, maker: WebService
) -> None:
    told = may_tell(context, maker)
    page = sign_in()
    page.goto(f"{clinic.url}/account/contacts?lang=en")
    page.get_by_role("button", name="Tell me in this browser").click()
    expect(page.get_by_text("This browser tells you, also while no page is open.")).to_be_visible()
    expect(page.locator("[data-mark]")).to_have_text("this browser")
    assert page.evaluate("sessionStorage.getItem('key')"), "the house's key went along"

    page.get_by_role("button", name="Send a test message: Browsers").click()
    expect(page.get_by_text("was taken by the other side")).to_be_visible()
    (call,) = maker.calls
    said = told.read(call.body)
    for _ in range(2):
        hand_to_worker(page, said)
    page.wait_for_function(f"({SHOWN})().then((shown) => shown.length === 1)")
    ((title, body, tag, url, stays),) = page.evaluate(SHOWN)
    assert (title, url, stays) == ("HomeVigil: a test message", None, False)
    assert "this channel works" in body
    assert tag == json.loads(said)["tag"], "the same message once more takes the place of the first"


def test_a_patient_lets_this_telephone_tell_and_stops_it(
    clinic: Clinic, way: None, context: BrowserContext, maker: WebService
) -> None:
    patient_id = clinic.add_patient("王秀英", None)
    with transaction(clinic.pool) as conn:
        token = links.issue_patient_link(conn, patient_id, now=now(), valid_for=timedelta(days=1))
        word = Word(
            purpose=Purpose.CHANNELS, is_given=True, text_version=None, how="paper", said_at=now(), recorded_by="cli:it"
        )
        say_consent(conn, patient_id, word)
    told = may_tell(context, maker)
    page = context.new_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{clinic.url}/me/{token}")

    page.get_by_role("button", name="在这台设备上通知我").click()
    expect(page.get_by_role("button", name="不再在这里通知我")).to_be_visible()
    expect(page.get_by_role("button", name="在这台设备上通知我")).to_be_hidden()
    (call,) = maker.calls
    assert json.loads(told.read(call.body))["title"] == "家守：测试消息"

    page.get_by_role("button", name="不再在这里通知我").click()
    expect(page.get_by_role("button", name="在这台设备上通知我")).to_be_visible()
    assert clinic.rows("select from contact") == []

    maker.answers = [(403, {}, b"")]
    page.get_by_role("button", name="在这台设备上通知我").click()
    expect(page.get_by_role("status").filter(has_text="没有成功")).to_be_visible()
    assert clinic.rows("select from contact") == []


def test_who_does_not_let_it_is_told_where_that_is_changed(
    clinic: Clinic, doctor_id: int, way: None, context: BrowserContext, sign_in: SignIn
) -> None:
    context.add_init_script("Notification.requestPermission = async () => 'denied';")
    page = sign_in()
    page.goto(f"{clinic.url}/account/contacts?lang=en")
    page.get_by_role("button", name="Tell me in this browser").click()
    expect(page.get_by_text("This browser does not allow it.")).to_be_visible()


def test_a_browser_that_cannot_be_told_shows_no_button(
    clinic: Clinic, doctor_id: int, way: None, context: BrowserContext, sign_in: SignIn
) -> None:
    context.add_init_script("delete window.PushManager;")
    page = sign_in()
    page.goto(f"{clinic.url}/account/contacts?lang=en")
    expect(page.get_by_text("Only in the inbox.")).to_be_visible()
    expect(page.get_by_role("heading", name="This browser")).to_be_hidden()
