"""Browsers for tests: headless Chromium, driven by Selenium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

__all__ = ["OUTPUT", "headless_chromium"]

#: Where tests put pictures of pages.
OUTPUT = Path(__file__).parent / "output"

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=800,600",
)


@contextmanager
def headless_chromium(profile: Path, *more: str) -> Iterator[webdriver.Chrome]:
    """Headless Chromium that makes no connection of its own, with a fresh ``profile``.

    ``more`` are further arguments of its command line.
    """
    OUTPUT.mkdir(exist_ok=True)
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (*_ARGUMENTS, *more, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        yield driver
    finally:
        driver.quit()
