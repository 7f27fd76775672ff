"""Takes the pictures of the studio in docs/studio.md: `python docs/screenshots.py`.

It serves the studio from an empty folder, and is a visitor who mixes, paints and compares, in a
Chromium (MNST_CHROMIUM names one that isn't on the path). With VGG19 that takes ten minutes.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent / "images"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PATIENCE = 600_000  # milliseconds


@contextmanager
def served() -> Iterator[str]:
    """Serves the studio; gives its address."""
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-m", "mnst", "app", "--no-browser"],
            env={**os.environ, "MNST_STUDIO": folder},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert server.stderr is not None
        said = next(line for line in server.stderr if "Ctrl-C" in line)
        try:
            yield said.split()[0]
        finally:
            server.terminate()
            server.wait()


def opened(browser: Browser, address: str, size: dict[str, int], scheme: str) -> Page:
    """Opens the page on a screen of that size."""
    page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    return page


def taken(page: Page, name: str) -> None:
    """Keeps what the page looks like."""
    page.wait_for_timeout(1500)  # until nothing moves any more
    with Image.open(BytesIO(page.screenshot())) as shot:
        shot.convert("RGB").save(HERE / f"studio_{name}.jpg", quality=85)
    print(name, flush=True)


def press(page: Page, name: str) -> None:
    """Clicks on a button."""
    page.get_by_role("button", name=name, exact=True).click()


def visit(browser: Browser, address: str) -> None:
    """Does what there is a picture of."""
    phone = opened(browser, address, PHONE, "light")
    phone.locator(".styles b").nth(1).wait_for()  # the two that it begins with
    taken(phone, "phone_empty")
    desktop = opened(browser, address, DESKTOP, "light")
    desktop.locator(".samples .card", has_text=re.compile("coffee", re.I)).click()
    desktop.get_by_role("slider", name="Mix", exact=True).fill("30")
    desktop.locator(".badge", has_text="Preview").wait_for()
    desktop.wait_for_timeout(90_000)  # in which it gets sharper
    taken(desktop, "preview")
    desktop.locator(".paint").click()
    desktop.wait_for_timeout(5000)  # until there is something to be seen of it
    taken(desktop, "painting")
    painting = desktop.locator(".strip .painting").nth(1)
    painting.wait_for()
    press(desktop, "Compare with the photo")
    taken(desktop, "compared")
    phone.locator(".strip .painting").nth(1).wait_for()
    taken(phone, "phone")
    dark = opened(browser, address, PHONE, "dark")
    dark.locator(".strip .painting").nth(1).wait_for()
    press(dark, "Separate colours and forms")
    dark.get_by_role("slider", name="Colours", exact=True).fill("100")
    taken(dark, "phone_dark")
    night = opened(browser, address, DESKTOP, "dark")
    night.locator(".strip .painting").nth(1).wait_for()
    press(night, "+ Add a style")
    taken(night, "gallery_dark")


def main() -> None:
    """Takes all of them."""
    chromium = os.environ.get("MNST_CHROMIUM") or shutil.which("chromium")
    with served() as address, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        visit(browser, address)
        browser.close()


if __name__ == "__main__":
    main()
