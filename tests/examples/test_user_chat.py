"""The chat with users in a browser, for which 127.0.0.1 and localhost are two sites."""

import pytest
from selenium.webdriver.common.by import By
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.examples.pages import connected, fill, open_tab, picture, texts
from tests.waiting import wait_until

EXAMPLE = "user_chat"
DEPLOYMENTS = [("postgresql", "redis"), ("sqlite", "ipc")]

ROWS = """
from talk.models import Room
Room.objects.create(title="Staff", slug="staff", staff_only=True)
"""

PASSWORD = "correct horse battery"


def test_users_talk_in_rooms_until_they_log_out(browser, site):
    # Given Ada in a room that she made, and Grace, who comes in
    sign_up(browser, site.url(), "ada")
    fill(browser, "#new [name=title], #new [name=slug]", "The lobby", "lobby")
    wait_until(lambda: browser.current_url == site.url("/rooms/lobby/"))
    connected(browser)
    ada = browser.current_window_handle
    grace = open_tab(browser, "about:blank")
    sign_up(browser, site.url(host="localhost"), "grace")
    browser.find_element(By.LINK_TEXT, "The lobby").click()
    connected(browser)

    # When both talk, then both see who said what
    for number in range(3):
        fill(browser, "#text", f"number {number}")
    lines = [f"grace\nnumber {number}" for number in range(3)]
    wait_until(lambda: texts(browser, "#lines .line") == lines)
    browser.switch_to.window(ada)
    wait_until(lambda: texts(browser, "#lines .event")[-1:] == ["grace joined"])
    fill(browser, "#text", "I can <b>count</b>, too")
    lines += ["ada\nI can <b>count</b>, too"]
    for page in (ada, grace):
        browser.switch_to.window(page)
        wait_until(lambda: texts(browser, "#lines .line") == lines)
    picture(browser, "user_chat")

    # When Grace logs out in another tab, then her page of the room goes, and Ada sees her leave
    open_tab(browser, site.url(host="localhost"))
    browser.find_element(By.CSS_SELECTOR, ".user button").click()
    browser.switch_to.window(grace)
    wait_until(lambda: "/accounts/login/" in browser.current_url, timeout=30)
    browser.switch_to.window(ada)
    wait_until(lambda: texts(browser, "#lines .event")[-1:] == ["grace left"])


def test_sockets_are_for_users_and_rooms_that_are_open_to_them(browser, site):
    sign_up(browser, site.url(), "edsger")
    session = browser.get_cookie("sessionid")["value"]
    origin = site.url().rstrip("/")

    def status(path, **headers):
        address = site.url(path).replace("http:", "ws:")
        with pytest.raises(InvalidStatus) as refused:
            connect(address, additional_headers=headers, proxy=None)
        return refused.value.response.status_code

    cookie = f"sessionid={session}"
    assert status("/rooms/staff/", Origin=origin, Cookie=cookie) == 403
    assert status("/rooms/staff/", Origin=origin) == 403
    assert status("/rooms/none/", Origin=origin, Cookie=cookie) == 403
    assert "Staff" not in texts(browser, "main")[0]


def sign_up(browser, url, name):
    """Make an account as a person does; ends on the page of rooms."""
    browser.get(url)
    wait_until(lambda: "/accounts/login/" in browser.current_url)
    browser.find_element(By.LINK_TEXT, "make an account").click()
    fill(browser, "input:not([type=hidden])", name, PASSWORD, PASSWORD)
    wait_until(lambda: texts(browser, "h1") == ["Rooms"])
