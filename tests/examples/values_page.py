"""The page of the example integer_values."""

from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.examples.pages import texts

__all__ = ["click", "shown"]


def shown(browser: webdriver.Chrome) -> list[list[str]]:
    """Name and value of each row."""
    rows: list[list[str]] = browser.execute_script(
        "return [...document.querySelectorAll('#values tr')]"
        ".map((row) => [...row.querySelectorAll('.name, .value')].map((cell) => cell.innerText))"
    )
    return rows


def click(browser: webdriver.Chrome, name: str, button: str) -> None:
    """Click a button of a value."""
    row = texts(browser, ".name").index(name)
    browser.find_elements(By.CSS_SELECTOR, f"#values {button}")[row].click()
