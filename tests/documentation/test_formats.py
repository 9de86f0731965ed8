"""The tables of ``docs/message-formats.md`` say what ``channels.spec`` checks."""

import importlib
import re

import pytest

from channels.spec import http, udp, websocket
from channels.spec.formats import REQUIRED, Format
from tests.documentation.blocks import ROOT

pytestmark = pytest.mark.compiled_only  # it is about a page

#: The package has a function of that name.
DELAY = importlib.import_module("channels.spec.delay")

TEXT = (ROOT / "docs/message-formats.md").read_text()

#: The format of each section.
FORMATS: dict[str, Format] = {
    "http.request": http._REQUEST,
    "http.request.body?": http._BODY_CHUNK,
    "Response": http._RESPONSE,
    "Response chunk": http._RESPONSE_CHUNK,
    "Server push": http._PUSH,
    "http.disconnect": http._DISCONNECT,
    "Credit": http._CREDIT,
    "websocket.connect": websocket._CONNECT,
    "websocket.receive": websocket._RECEIVE,
    "websocket.disconnect": websocket._DISCONNECT,
    "Reply": websocket._REPLY,
    "udp.receive": udp._RECEIVE,
    "udp.send!": udp._SEND,
    "asgi.delay": DELAY._DELAY,
}


def shown(default: object) -> str:
    """A default as the tables have it."""
    if default is REQUIRED:
        return ""
    if default is None or isinstance(default, bool):
        return str(default)
    return f"`{list(default)!r}`" if default == () else f"`{default!r}`".replace("'", '"')


def test_every_format_of_the_package_has_a_section():
    written = set(re.findall(r"^### (.*)$", TEXT, re.MULTILINE))
    made = {
        (module.__name__, name)
        for module in (http, websocket, udp, DELAY)
        for name, value in vars(module).items()
        if isinstance(value, Format) and name != "_PUSHED"  # a request, as is said there
    }
    assert written == set(FORMATS)
    assert len(made) == len(FORMATS)


@pytest.mark.parametrize("title", FORMATS)
def test_the_table_has_the_keys_and_their_defaults(title):
    section = re.split(rf"^### {re.escape(title)}$", TEXT, flags=re.MULTILINE)[1]
    table = section.partition("###")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ?([^|]*?) ?\|", table, re.MULTILINE)
    assert rows == [(field.name, shown(field.default)) for field in FORMATS[title].fields]
