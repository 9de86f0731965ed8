"""What tests of examples do in a browser."""

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browsers import OUTPUT
from tests.waiting import wait_until

__all__ = ["connected", "fill", "open_tab", "picture", "texts"]


def connected(browser: webdriver.Chrome) -> None:
    """Wait until the page says that its socket is open."""
    shown = "#status[data-state=connected]"
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, shown), timeout=30)


def open_tab(browser: webdriver.Chrome, url: str) -> str:
    """Open another tab; returns its handle."""
    browser.switch_to.new_window("tab")
    browser.get(url)
    return browser.current_window_handle


def fill(browser: webdriver.Chrome, selector: str, *texts: str) -> None:
    """Replace what is in fields, in turn, and press Enter in the last."""
    fields = browser.find_elements(By.CSS_SELECTOR, selector)
    for field, text in zip(fields, texts, strict=True):
        field.clear()
        field.send_keys(text)
    fields[-1].send_keys(Keys.ENTER)


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """The texts of elements as they are seen, top to bottom."""
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)",
        selector,
    )
    return found


def picture(browser: webdriver.Chrome, name: str) -> None:
    """Leave a picture of the page."""
    browser.save_screenshot(str(OUTPUT / f"{name}.png"))
