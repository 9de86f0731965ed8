"""The samples of the chapter Channels WebSocket wrapper, in a browser."""

import pytest
from django.template import engines

from channels.routing import route
from tests.pages import BRIDGE_URL, page_routes, run_script, wait_for_console

pytestmark = [
    pytest.mark.needs("chromium", "chromedriver", "redis-server"),
    pytest.mark.compiled_only,
]

SENT = {"prop1": "value1", "prop2": "value1"}


@pytest.fixture
def page(site, browser):
    """The page, whose server sends back what it gets, at any path."""
    routes = [
        route("websocket.connect", lambda message: message.reply_channel.send({"accept": True})),
        route("websocket.receive", echo),
    ]
    with site.routed([*page_routes(), *routes]):
        browser.get(site.url)
        yield browser
        browser.get("about:blank")


def echo(message):
    message.reply_channel.send({"text": message["text"]})


def test_template(sample, page):
    address = engines["django"].from_string(sample).render().strip()

    assert address == BRIDGE_URL
    assert page.execute_script("return typeof channels.WebSocketBridge") == "function"


def test_listen(sample, samples, page):
    run_script(page, sample)
    run_script(page, samples["send"])

    wait_for_console(page, [[SENT, None]])


def test_send(sample, samples, page):
    run_script(page, samples["listen"])
    run_script(page, sample)
    run_script(page, "webSocketBridge.send({more: 1})")

    wait_for_console(page, [[SENT, None], [{"more": 1}, None]])


def test_demultiplex(sample, page):
    run_script(page, "const webSocketBridge = new channels.WebSocketBridge()")
    run_script(page, sample)
    for stream in ("mystream", "none", "myotherstream"):
        run_script(page, f"webSocketBridge.stream('{stream}').send({{to: '{stream}'}})")

    streams = ["mystream", "myotherstream"]
    wait_for_console(page, [[{"to": stream}, stream] for stream in streams])


def test_stream_send(sample, samples, page):
    run_script(page, samples["listen"])
    run_script(page, "webSocketBridge.demultiplex('mystream', (...all) => console.log(all))")
    run_script(page, sample)

    wait_for_console(page, [[[SENT, "mystream"]]])


def test_socket(sample, samples, page):
    run_script(page, samples["listen"] + sample)

    wait_for_console(page, [["Connected to WebSocket"]])
