"""The chat example in a real browser: two tabs that talk to each other."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.test import override_settings
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from channels.test import ChannelLiveServerTestCase
from tests.browsers import OUTPUT, headless_chromium
from tests.chat_server import CHAT
from tests.databases import made_databases
from tests.servers.redis import RedisServer
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("chromium", "chromedriver", "redis-server")


@pytest.fixture(scope="module", autouse=True)
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The example in the place of the tests' project, over Redis and with a database of its own."""
    database = tmp_path_factory.mktemp("chat") / "chat.sqlite3"
    known = set(sys.modules)
    sys.path.insert(0, str(CHAT))
    try:
        with RedisServer() as server, chat_settings(server), made_databases(database):
            yield
    finally:
        sys.path.remove(str(CHAT))
        apps.all_models.pop("rooms", None)
        apps.clear_cache()
        for name in set(sys.modules) - known:
            if name.partition(".")[0] in {"config", "rooms"}:
                del sys.modules[name]


def chat_settings(server: RedisServer) -> override_settings:
    """The settings of the example, but for its layer."""
    layer = {
        "BACKEND": "channels.layers.redis.RedisChannelLayer",
        "ROUTING": "config.routing.channel_routing",
        "TEST_CONFIG": {"hosts": [server.url]},
    }
    return override_settings(
        CHANNEL_LAYERS={"default": layer},
        INSTALLED_APPS=[*settings.INSTALLED_APPS, "rooms"],
        ROOT_URLCONF="config.urls",
    )


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


class TestChat(ChannelLiveServerTestCase):
    browser: webdriver.Chrome

    @pytest.fixture(autouse=True)
    def open_browser(self, tmp_path: Path) -> Iterator[None]:
        """A browser of the test's own."""
        with headless_chromium(tmp_path / "profile") as self.browser:
            yield

    def test_two_tabs_chat_and_a_reload_shows_what_was_said(self):
        # Given Ada and Grace, in the same room in two tabs
        enter(self.browser, self.live_server_url, "Ada", "lobby")
        ada = self.browser.current_window_handle
        self.browser.switch_to.new_window("tab")
        grace = self.browser.current_window_handle
        enter(self.browser, self.live_server_url, "Grace", "lobby")

        # When each says something
        say(self.browser, "Hello from Grace <b>&amp; co</b>")
        wait_until(lambda: len(lines(self.browser, "message")) == 1)
        self.browser.switch_to.window(ada)
        wait_until(lambda: lines(self.browser, "joined") == ["Ada joined", "Grace joined"])
        say(self.browser, "Hello from Ada")
        said = ["Grace\nHello from Grace <b>&amp; co</b>", "Ada\nHello from Ada"]

        # Then both see both, as text, and the picture shows it
        wait_until(lambda: lines(self.browser, "message") == said)
        self.browser.switch_to.window(grace)
        wait_until(lambda: lines(self.browser, "message") == said)
        self.browser.save_screenshot(str(OUTPUT / "chat.png"))

        # When Grace reloads, then she sees what was said; and Ada that she left and came back
        self.browser.refresh()
        wait_until(lambda: lines(self.browser, "message") == said)
        self.browser.switch_to.window(ada)
        wait_until(lambda: lines(self.browser, "left") == ["Grace left"])
        wait_until(lambda: lines(self.browser, "joined")[-1] == "Grace joined")

        # And nothing went wrong in the pages
        assert [
            entry for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"
        ] == []

    def test_rooms_do_not_hear_each_other(self):
        enter(self.browser, self.live_server_url, "Ada", "lobby")
        lobby = self.browser.current_window_handle
        self.browser.switch_to.new_window("tab")
        enter(self.browser, self.live_server_url, "Grace", "kitchen")
        say(self.browser, "in the kitchen")
        wait_until(lambda: lines(self.browser, "message") == ["Grace\nin the kitchen"])

        self.browser.switch_to.window(lobby)
        say(self.browser, "in the lobby")
        wait_until(lambda: lines(self.browser, "message") == ["Ada\nin the lobby"])

    def test_pages_outlive_a_server_that_is_killed(self):
        # Given two tabs whose server dies
        enter(self.browser, self.live_server_url, "Ada", "lobby")
        ada = self.browser.current_window_handle
        self.browser.switch_to.new_window("tab")
        grace = self.browser.current_window_handle
        enter(self.browser, self.live_server_url, "Grace", "lobby")
        say(self.browser, "before")
        wait_until(lambda: lines(self.browser, "message") == ["Grace\nbefore"])
        self.site.server.kill()
        self.site.workers.kill()
        wait_for_status(self.browser, "reconnecting")

        # When something is said that they cannot hear, and the server comes back
        say(self.browser, "kept for later")
        assert self.browser.find_element(By.ID, "text").get_attribute("value") == ""
        messages = apps.get_model("rooms.ChatMessage").objects
        messages.create(room="lobby", name="Edsger", text="meanwhile")
        self.site.server.start()
        self.site.workers.start()

        # Then both catch up, and what was said meanwhile is sent
        wait_for_status(self.browser, "connected")
        said = ["Grace\nbefore", "Edsger\nmeanwhile", "Grace\nkept for later"]
        for tab in (grace, ada):
            self.browser.switch_to.window(tab)
            wait_until(lambda: lines(self.browser, "message") == said, timeout=30)

    def test_sockets_stay_open_while_workers_are_replaced(self):
        enter(self.browser, self.live_server_url, "Ada", "lobby")
        wait_until(lambda: lines(self.browser, "joined") == ["Ada joined"])
        self.site.workers.kill()
        say(self.browser, "said to nobody yet")
        self.site.workers.start()

        wait_until(lambda: lines(self.browser, "message") == ["Ada\nsaid to nobody yet"])
        assert lines(self.browser, "joined") == ["Ada joined"]
        assert lines(self.browser, "left") == []

    def test_messages_stand_once_and_in_the_order_they_were_saved_in(self):
        enter(self.browser, self.live_server_url, "Ada", "lobby")
        wait_until(lambda: lines(self.browser, "joined") == ["Ada joined"])

        # When messages come in the order in which threads happened to announce them, one twice
        for number in (1002, 1001, 1002, 1003):
            event = {"kind": "message", "id": number, "name": "Grace", "text": str(number)}
            self.browser.execute_script("show(arguments[0])", event)

        shown = [line.text for line in self.browser.find_elements(By.CSS_SELECTOR, "#log li")]
        assert shown == ["Ada joined", "Grace\n1001", "Grace\n1002", "Grace\n1003"]
