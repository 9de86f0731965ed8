"""``ChannelLiveServerTestCase`` with Playwright, which drives a browser of the machine's own."""

import pytest
from django.test import override_settings
from playwright.sync_api import sync_playwright

from channels.test import ChannelLiveServerTestCase
from tests.servers.programs import find_program
from tests.test.cases import run

#: In the page: open a socket, send, and give what comes back.
ASK = """
url => new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.onopen = () => socket.send("hello");
    socket.onmessage = event => resolve(event.data);
    socket.onerror = reject;
})
"""


@pytest.mark.needs("redis-server", "chromium")
def test_a_page_and_its_socket_are_served_to_a_browser(layers, monkeypatch):
    class Case(ChannelLiveServerTestCase):
        def test(self):
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=find_program("chromium"), args=["--no-sandbox"]
                )
                page = browser.new_page()
                page.goto(f"{self.live_server_url}/about/")
                assert page.inner_text("body").endswith("en-us False")
                assert page.evaluate(ASK, f"{self.live_server_ws_url}/room/") == "HELLO"
                browser.close()

    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # as the documentation has it
    with override_settings(CHANNEL_LAYERS=layers, ROOT_URLCONF="tests.test.live.project"):
        result = run(Case)
    assert result.errors + result.failures == []
    assert result.testsRun == 1
