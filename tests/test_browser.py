"""The chat example in a real browser: two tabs that talk to each other."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browsers import OUTPUT, headless_chromium
from tests.chat_server import ChatServer
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("chromium", "chromedriver")


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[ChatServer]:
    """The example, with a database of its own."""
    server = ChatServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A browser of the test's own."""
    with headless_chromium(tmp_path / "profile") as driver:
        yield driver


def wait_for_status(browser: webdriver.Chrome, status: str) -> None:
    """Wait until the page says ``status`` of its socket."""
    shown = f"#status[data-state={status}]"
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, shown), timeout=30)


def enter(browser: webdriver.Chrome, url: str, name: str, room: str) -> None:
    """Go through the door as a person does, and wait for the socket."""
    browser.get(url)
    browser.find_element(By.NAME, "name").send_keys(name)
    room_field = browser.find_element(By.NAME, "room")
    room_field.clear()
    room_field.send_keys(room, Keys.ENTER)
    wait_until(lambda: f"/rooms/{room}/" in browser.current_url)
    wait_for_status(browser, "connected")


def say(browser: webdriver.Chrome, text: str) -> None:
    browser.find_element(By.ID, "text").send_keys(text, Keys.ENTER)


def lines(browser: webdriver.Chrome, kind: str) -> list[str]:
    """What the page shows of one kind, top to bottom."""
    return [line.text for line in browser.find_elements(By.CSS_SELECTOR, f"#log .{kind}")]


def test_two_tabs_chat_and_a_reload_shows_what_was_said(
    browser: webdriver.Chrome, chat: ChatServer
) -> None:
    # Given Ada and Grace, in the same room in two tabs
    enter(browser, chat.url, "Ada", "lobby")
    ada = browser.current_window_handle
    browser.switch_to.new_window("tab")
    grace = browser.current_window_handle
    enter(browser, chat.url, "Grace", "lobby")

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
    browser.save_screenshot(str(OUTPUT / "chat.png"))

    # When Grace reloads, then she sees what was said; and Ada that she left and came back
    browser.refresh()
    wait_until(lambda: lines(browser, "message") == said)
    browser.switch_to.window(ada)
    wait_until(lambda: lines(browser, "left") == ["Grace left"])
    wait_until(lambda: lines(browser, "joined")[-1] == "Grace joined")

    # And nothing went wrong in the pages
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_rooms_do_not_hear_each_other(browser: webdriver.Chrome, chat: ChatServer) -> None:
    enter(browser, chat.url, "Ada", "lobby")
    lobby = browser.current_window_handle
    browser.switch_to.new_window("tab")
    enter(browser, chat.url, "Grace", "kitchen")
    say(browser, "in the kitchen")
    wait_until(lambda: lines(browser, "message") == ["Grace\nin the kitchen"])

    browser.switch_to.window(lobby)
    say(browser, "in the lobby")
    wait_until(lambda: lines(browser, "message") == ["Ada\nin the lobby"])


def test_pages_outlive_a_server_that_is_killed(browser: webdriver.Chrome, chat: ChatServer) -> None:
    # Given two tabs whose server dies
    enter(browser, chat.url, "Ada", "lobby")
    ada = browser.current_window_handle
    browser.switch_to.new_window("tab")
    grace = browser.current_window_handle
    enter(browser, chat.url, "Grace", "lobby")
    say(browser, "before")
    wait_until(lambda: lines(browser, "message") == ["Grace\nbefore"])
    chat.kill()
    wait_for_status(browser, "reconnecting")

    # When something is said that they cannot hear, and the server comes back
    say(browser, "kept")
    with sqlite3.connect(chat.database) as database:
        database.execute(
            "INSERT INTO rooms_chatmessage (room, name, text, said_at)"
            " VALUES ('lobby', 'Edsger', 'meanwhile', '2026-01-01 00:00:00')"
        )
    chat.start()

    # Then both catch up, what was typed meanwhile is still there to be sent, and they go on
    wait_for_status(browser, "connected")
    assert browser.find_element(By.ID, "text").get_attribute("value") == "kept"
    say(browser, "")
    said = ["Grace\nbefore", "Edsger\nmeanwhile", "Grace\nkept"]
    for tab in (grace, ada):
        browser.switch_to.window(tab)
        wait_until(lambda: lines(browser, "message") == said, timeout=30)


def test_messages_stand_once_and_in_the_order_they_were_saved_in(
    browser: webdriver.Chrome, chat: ChatServer
) -> None:
    enter(browser, chat.url, "Ada", "lobby")
    wait_until(lambda: lines(browser, "joined") == ["Ada joined"])

    # When messages come in the order in which threads happened to announce them, one of them twice
    for number in (1002, 1001, 1002, 1003):
        event = {"kind": "message", "id": number, "name": "Grace", "text": str(number)}
        browser.execute_script("show(arguments[0])", event)

    shown = [line.text for line in browser.find_elements(By.CSS_SELECTOR, "#log li")]
    assert shown == ["Ada joined", "Grace\n1001", "Grace\n1002", "Grace\n1003"]
