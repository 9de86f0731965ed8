"""A page for tests of what runs in one: it has the bridge, and lists what it writes to its console.

Scripts of a test run in ``script`` tags, as those of pages do.
"""

from collections.abc import Sequence
from typing import Any

from django.contrib.staticfiles import finders
from selenium import webdriver

from channels.message import Message
from channels.routing import Route
from tests.waiting import wait_until

__all__ = ["BRIDGE_URL", "console", "page_routes", "run_script", "wait_for_console"]

#: Where the bridge is on the server of the page.
BRIDGE_URL = "/static/channels/js/websocketbridge.js"

_PAGE = f"""<!doctype html>
<link rel="icon" href="data:,">
<script>
const written = [];
for (const method of ["log", "info"]) console[method] = (...values) => written.push(values);
</script>
<script src="{BRIDGE_URL}"></script>
"""


def _file(message: Message) -> None:
    found = finders.find("channels/js/websocketbridge.js")
    with open(str(found), "rb") as file:
        _answer(message, b"text/javascript", file.read())


def _page(message: Message) -> None:
    _answer(message, b"text/html", _PAGE.encode())


def _answer(message: Message, kind: bytes, content: bytes) -> None:
    headers = [(b"content-type", kind)]
    message.reply_channel.send({"status": 200, "headers": headers, "content": content})


def page_routes() -> list[Route]:
    """What serves the page, at any path but that of the bridge."""
    return [
        Route("http.request", _file, path=f"^{BRIDGE_URL}$"),
        Route("http.request", _page),
    ]


def run_script(browser: webdriver.Chrome, script: str) -> None:
    """Run a script as those of the page."""
    browser.execute_script(
        "const tag = document.createElement('script');"
        "tag.textContent = arguments[0];"
        "document.body.append(tag);",
        script,
    )


def console(browser: webdriver.Chrome) -> list[list[Any]]:
    """The values of each line that the page wrote."""
    lines: list[list[Any]] = browser.execute_script("return written")
    return lines


def wait_for_console(browser: webdriver.Chrome, lines: Sequence[Any]) -> None:
    """Wait until the page has written just that."""
    wait_until(lambda: console(browser) == lines, timeout=20)
