"""Takes the pictures of these pages again, from a demo that is running, in English.

python docs/images/take.py http://127.0.0.1:8080 PASSWORD
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SIZE = {"width": 1280, "height": 860}


def main(address: str, password: str) -> None:
    """Worklist and patient, as the demo's doctor sees them."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless=new", "--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.goto(f"{address}/login?lang=en")
        page.locator("#login").fill("doctor")
        page.locator("#password").fill(password)
        page.locator("main button.primary").click()
        page.wait_for_url(f"{address}/")
        page.screenshot(path=HERE / "worklist.png")
        page.locator(".row h2 a").first.click()
        page.wait_for_load_state()
        page.screenshot(path=HERE / "patient.png")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
