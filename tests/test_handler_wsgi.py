"""``AsgiHandler`` and ``WSGIHandler`` on the same requests: the same responses, the same log."""

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

from channels.handler import AsgiHandler
from tests.http_messages import environ_of, request_message

pytestmark = pytest.mark.usefixtures("plain_settings")


@pytest.fixture
def plain_settings():
    with override_settings(MIDDLEWARE=[]):
        yield


REQUESTS = [
    {"path": "/"},
    {"path": "/hello/", "method": "HEAD"},
    {"path": "/hello/", "method": "BREW"},
    {"path": "/name/caf\u00e9 \u2603/"},
    {"path": "/app/name/x/", "root_path": "/app"},
    {"path": "/name/x/", "query_string": b"a=1&b=%C3%A9", "scheme": "https"},
    {"path": "/no/such/"},
    {"path": "//"},
    {"path": "/hello"},
    {"path": "/headers/"},
    {"path": "/redirect/"},
    {"path": "/redirect/", "query_string": b"to=/caf%C3%A9%0d%0aX:1"},
    {"path": "/redirect/", "query_string": b"to=javascript:alert(1)"},
    {"path": "/large/"},
    {"path": "/streamed/"},
    {"path": "/streamed/async/"},
    {"path": "/file/"},
    {"path": "/file/", "headers": [(b"if-none-match", b"x")]},
    {"path": "/async/"},
    {"path": "/unawaited/"},
    {"path": "/echo/", "method": "POST", "body": b"x" * 3_000_000},
    {"path": "/echo/", "method": "PUT", "body": b"\x00\xff"},
    {"path": "/form/", "method": "POST", "body": b"a=1&a=2&&=b&c"},
    {"path": "/read/", "method": "POST", "body": b"a\nb\r\nc"},
    {"path": "/host/", "headers": {b"host": b"a b"}},
    {"path": "/host/", "headers": {}},
    *({"path": f"/error/{kind}/"} for kind in ("missing", "denied", "bad", "suspicious", "exit")),
]


def records_of(caplog):
    """What was logged about requests: the logger, level, text and status of each record."""
    found = [
        (record.name, record.levelname, record.getMessage(), record.status_code)
        for record in caplog.records
        if record.name.startswith("django.")
    ]
    caplog.clear()
    return found


def under_wsgi(message):
    started = []
    environ = environ_of(message)
    response = WSGIHandler()(environ, lambda status, headers: started.append((status, headers)))
    content = b"".join(response)
    response.close()
    ((status, headers),) = started
    return int(status[:3]), [(name.title(), value.strip()) for name, value in headers], content


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.parametrize("keys", REQUESTS, ids=lambda keys: keys["path"])
@pytest.mark.parametrize("debug", [False, True], ids=["live", "debug"])
def test_the_response_and_the_log_equal_those_of_wsgi(keys, debug, caplog):
    keys = dict(keys)
    if "body" in keys:
        keys["headers"] = [
            (b"content-type", b"application/x-www-form-urlencoded"),
            (b"content-length", b"%d" % len(keys["body"])),
        ]
    with override_settings(DEBUG=debug):
        message = request_message(**keys)
        if isinstance(message.content["headers"], dict):
            message.content["headers"] = list(message.content["headers"].items())
        theirs = under_wsgi(message)
        their_records = records_of(caplog)
        ours = list(AsgiHandler()(message))
        assert records_of(caplog) == their_records
    headers = [
        (name.decode().title(), value.decode("latin-1")) for name, value in ours[0]["headers"]
    ]
    assert (ours[0]["status"], headers) == theirs[:2]
    if not debug or ours[0]["status"] < 400:
        assert b"".join(message["content"] for message in ours) == theirs[2]
