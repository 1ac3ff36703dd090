"""A real Chromium, driven by Playwright; one browser for each module, a fresh context for each test.

Not one for the whole run: Playwright's event loop runs in the main thread while it is open, where asyncio tests need their own.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

if TYPE_CHECKING:
    from fix_clinic import Clinic

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)

PATIENCE_MS = 15_000
"""How long a test waits for a page before it fails; pages that are right take a fraction of it."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        why = "chromium is not installed; to run this suite: sudo apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield context
    context.close()


SignIn = Callable[..., Page]


@pytest.fixture
def sign_in(clinic: "Clinic", context: BrowserContext) -> SignIn:
    """A page that is signed in, on the worklist. Anything that the page complains of fails the test."""
    from fix_clinic import PASSWORD

    def go(login: str = "doctor", language: str = "en", page: Page | None = None) -> Page:
        page = page or context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
        page.goto(f"{clinic.url}/login?lang={language}")
        page.get_by_label("Login" if language == "en" else "登录名").fill(login)
        page.get_by_label("Password" if language == "en" else "密码").fill(PASSWORD)
        page.locator("main button.primary").click()
        page.wait_for_url(f"{clinic.url}/")
        return page

    return go
