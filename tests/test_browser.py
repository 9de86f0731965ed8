"""The chat example in a real browser: two tabs that talk to each other."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
CHAT = ROOT / "examples" / "chat"
OUTPUT = ROOT / "tests" / "output"

pytestmark = pytest.mark.needs("chromium", "chromedriver")


@pytest.fixture
def chat_url(tmp_path: Path) -> Iterator[str]:
    """The address of the example, run as ``make demo`` runs it, with a database of its own."""
    environment = os.environ | {
        "CHAT_DATABASE": str(tmp_path / "chat.sqlite3"),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONUNBUFFERED": "1",
    }
    manage = [sys.executable, str(CHAT / "manage.py")]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], env=environment, check=True)
    log = tmp_path / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [*manage, "runserver", "--noreload", "127.0.0.1:0"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield wait_until(lambda: announced_address(server, log), timeout=30)
    finally:
        server.terminate()
        server.wait(20)


def announced_address(server: "subprocess.Popen[bytes]", log: Path) -> str | None:
    """The address in the server's first lines, once it listens."""
    text = log.read_text()
    if server.poll() is not None:
        raise AssertionError(f"the server ended: {text}")
    found = re.search(r"http://127\.0\.0\.1:[1-9]\d*/", text)
    return found and found[0]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Headless Chromium that makes no connection of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=800,600",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        yield driver
    finally:
        driver.quit()


def enter(browser: webdriver.Chrome, url: str, name: str, room: str) -> None:
    """Go through the door as a person does, and wait for the socket."""
    browser.get(url)
    browser.find_element(By.NAME, "name").send_keys(name)
    room_field = browser.find_element(By.NAME, "room")
    room_field.clear()
    room_field.send_keys(room, Keys.ENTER)
    wait_until(lambda: f"/rooms/{room}/" in browser.current_url)
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "#status[data-state=connected]"))


def say(browser: webdriver.Chrome, text: str) -> None:
    browser.find_element(By.ID, "text").send_keys(text, Keys.ENTER)


def lines(browser: webdriver.Chrome, kind: str) -> list[str]:
    """What the page shows of one kind, top to bottom."""
    return [line.text for line in browser.find_elements(By.CSS_SELECTOR, f"#log .{kind}")]


def test_two_tabs_chat_and_a_reload_shows_what_was_said(
    browser: webdriver.Chrome, chat_url: str
) -> None:
    # Given Ada and Grace, in the same room in two tabs
    enter(browser, chat_url, "Ada", "lobby")
    ada = browser.current_window_handle
    browser.switch_to.new_window("tab")
    grace = browser.current_window_handle
    enter(browser, chat_url, "Grace", "lobby")

    # When each says something
    say(browser, "Hello from Grace <b>&amp; co</b>")
    wait_until(lambda: len(lines(browser, "message")) == 1)
    browser.switch_to.window(ada)
    wait_until(lambda: lines(browser, "joined") == ["Ada joined", "Grace joined"])
    say(browser, "Hello from Ada")
    said = ["Grace\nHello from Grace <b>&amp; co</b>", "Ada\nHello from Ada"]

    # Then both see both, as text, and the picture shows it
    wait_until(lambda: lines(browser, "message") == said)
    browser.switch_to.window(grace)
    wait_until(lambda: lines(browser, "message") == said)
    OUTPUT.mkdir(exist_ok=True)
    browser.save_screenshot(str(OUTPUT / "chat.png"))

    # When Grace reloads, then she sees what was said; and Ada that she left and came back
    browser.refresh()
    wait_until(lambda: lines(browser, "message") == said)
    browser.switch_to.window(ada)
    wait_until(lambda: lines(browser, "left") == ["Grace left"])
    wait_until(lambda: lines(browser, "joined")[-1] == "Grace joined")

    # And nothing went wrong in the pages
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_rooms_do_not_hear_each_other(browser: webdriver.Chrome, chat_url: str) -> None:
    enter(browser, chat_url, "Ada", "lobby")
    lobby = browser.current_window_handle
    browser.switch_to.new_window("tab")
    enter(browser, chat_url, "Grace", "kitchen")
    say(browser, "in the kitchen")
    wait_until(lambda: lines(browser, "message") == ["Grace\nin the kitchen"])

    browser.switch_to.window(lobby)
    say(browser, "in the lobby")
    wait_until(lambda: lines(browser, "message") == ["Ada\nin the lobby"])
