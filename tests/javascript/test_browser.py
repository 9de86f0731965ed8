"""The bridge in a real browser, where it differs from Node: events, workers, pages; and Daphne."""

import re
import signal
from pathlib import Path

import pytest

from channels.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketDemultiplexer,
)
from channels.routing import route_class
from tests.pages import BRIDGE_URL, console, page_routes, run_script, wait_for_console
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.needs("chromium", "chromedriver", "redis-server"),
    pytest.mark.compiled_only,
]

README = Path(__file__).parents[2] / "js" / "README.md"


class Closing(JsonWebsocketConsumer):
    """Sends back what it gets, or closes with the code that it gets."""

    def connect(self, message, **kwargs):
        super().connect(message, **kwargs)
        self.send({"path": message["path"]})

    def receive(self, content, **kwargs):
        if isinstance(content, int):
            self.close(content)
        else:
            self.send(content)


def heartbeat_sample():
    """The demultiplexer of the README's Heartbeat."""
    (sample,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names = {
        "JsonWebsocketConsumer": JsonWebsocketConsumer,
        "WebsocketDemultiplexer": WebsocketDemultiplexer,
    }
    exec(sample, names)
    return names["Demultiplexer"]


@pytest.fixture
def page(site, browser):
    """The page, and the consumers."""
    routes = [
        route_class(heartbeat_sample(), path="^/streams/$"),
        route_class(Closing),
    ]
    with site.routed([*page_routes(), *routes]):
        browser.get(site.url + "folder/page/")
        yield browser
        browser.get("about:blank")


def test_addresses_are_relative_to_the_page(page):
    run_script(
        page,
        """
        (async () => {
          for (const address of [undefined, "/ws/", "ws/", location.href]) {
            const bridge = new channels.WebSocketBridge();
            bridge.connect(address);
            console.log(await new Promise((resolve) => bridge.listen(resolve)));
            bridge.close();
          }
        })();
        """,
    )
    paths = ["/", "/ws/", "/folder/page/ws/", "/folder/page/"]
    wait_for_console(page, [[{"path": path}] for path in paths])


def test_close_codes_decide_and_are_told(page):
    # Given a page that tells what it sees of closes, and whose server closes what it opens
    run_script(
        page,
        """
        const bridge = new channels.WebSocketBridge({
          minReconnectionDelay: 10, spread: 10, finalCodes: (code) => code >= 4000,
        });
        const codes = [1011, 1012, 1013, 3000, 1008, 4001];
        bridge.onstatus = ({ state, code }) => {
          if (code !== null) console.log(state, code);
          if (state === "connected") bridge.send(codes.shift());
          if (code === 1008) bridge.connect("/again/");
        };
        bridge.connect();
        """,
    )

    lost = [["reconnecting", code] for code in (1011, 1012, 1013, 3000)]
    wait_for_console(page, [*lost, ["closed", 1008], ["closed", 4001]])


def test_close_events_that_no_server_made_have_a_code(page):
    # When pages close, or give up connections, by codes that they may or may not send
    run_script(
        page,
        """
        (async () => {
          const bridge = new channels.WebSocketBridge({ minReconnectionDelay: 10 });
          for (const code of [1000, 1006, 4000]) {
            bridge.connect();
            const { socket } = bridge;
            await new Promise((resolve) => socket.addEventListener("open", resolve));
            socket.addEventListener("close", (event) => console.log(typeof event.code));
            socket.close(code);
            console.log(bridge.status.state, bridge.status.code);
          }
          bridge.connect();
          await new Promise((resolve) => bridge.socket.addEventListener("open", resolve));
          bridge.socket.reconnect(1006);
          await new Promise((resolve) => bridge.socket.addEventListener("open", resolve));
          console.log(bridge.status.state);
        })();
        """,
    )

    closed = [line for code in (1000, 1006, 4000) for line in (["number"], ["closed", code])]
    wait_for_console(page, [*closed, ["connected"]])


def test_it_works_in_workers_whose_script_is_a_file_or_a_blob(page, site):
    worker = f"""
        importScripts("{site.url.rstrip("/")}{BRIDGE_URL}");
        const bridge = new channels.WebSocketBridge();
        bridge.listen((action) => postMessage(action));
        bridge.connect("/ws/");
    """
    run_script(
        page,
        f"""
        const blob = new Blob([{worker!r}], {{ type: "text/javascript" }});
        const worker = new Worker(URL.createObjectURL(blob));
        worker.onmessage = (event) => console.log(event.data);
        """,
    )

    wait_for_console(page, [[{"path": "/ws/"}]])


def test_the_consumer_of_the_readme_answers_heartbeats(page):
    # Given a heartbeat so quick that the socket would be given up soon if nothing answered
    run_script(
        page,
        """
        const bridge = new channels.WebSocketBridge({ heartbeat: { interval: 20, timeout: 5000 } });
        bridge.onstatus = ({ state }) => console.log(state);
        bridge.listen((action) => console.log(action));
        bridge.connect("/streams/");
        let answers = 0;
        bridge.socket.addEventListener("message", ({ data }) => {
          const { stream, payload } = JSON.parse(data);
          if (++answers === 5) console.log(stream, payload);
        });
        """,
    )

    answer = ["heartbeat", {"heartbeat": 5}]
    wait_for_console(page, [["connecting"], ["connected"], answer])


def test_a_page_leaves_a_connection_over_which_nothing_comes(page, site):
    # Given a page with a heartbeat, and a Daphne that stands still: no connection is closed
    run_script(
        page,
        """
        const bridge = new channels.WebSocketBridge({
          minReconnectionDelay: 10, connectionTimeout: 60000,
          heartbeat: { interval: 100, timeout: 2000 },
        });
        bridge.onstatus = ({ state, code }) => console.log(state, code);
        bridge.connect("/streams/");
        """,
    )
    wait_until(lambda: console(page)[-1:] == [["connected", None]], timeout=20)
    site.daphne.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: console(page)[-1] == ["reconnecting", 1006], timeout=20)
    finally:
        site.daphne.signal(signal.SIGCONT)

    # Then it is back once Daphne is
    wait_until(lambda: console(page)[-1] == ["connected", None], timeout=20)


def test_what_else_is_called_channels_stays(page):
    page.get(page.current_url)
    assert page.execute_script(
        """
        window.channels.other = 1;
        const tag = document.createElement("script");
        tag.src = arguments[0];
        const done = new Promise((resolve) => { tag.onload = resolve; });
        document.body.append(tag);
        return done.then(() => [channels.other, typeof channels.WebSocketBridge]);
        """,
        BRIDGE_URL,
    ) == [1, "function"]
