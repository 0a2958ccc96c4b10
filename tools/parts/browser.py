"""The Chromium that tools and tests drive."""

import os
import shutil
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
)
NEEDED = "no Chromium: on Debian and Ubuntu `sudo apt install chromium`, or name one by CHROMIUM=/path/to/it"


def chromium_path():
    """Where Chromium is, by the environment variable CHROMIUM or by one of its names; None where there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium(*flags):
    """In this `with` block, a Chromium that Playwright drives, started with further flags.

    Raises:
        FileNotFoundError: there is none.
    """
    found = chromium_path()
    if found is None:
        raise FileNotFoundError(NEEDED)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=[*FLAGS, *flags])
        yield browser
        browser.close()
