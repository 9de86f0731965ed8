"""Tests of origin checks: whose pages may open a WebSocket, by decorator and by setting."""

import logging

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channels.exceptions import DenyConnection
from channels.message import Message
from channels.routing import route
from channels.security.websockets import (
    AllowedHostsOnlyOriginValidator,
    BaseOriginValidator,
    allowed_hosts_only,
    check_origin,
)
from channels.worker.dispatch import Dispatcher
from tests.worker.workers import make_layer

REPLY_CHANNEL = "daphne.response.abc!def"


def connect(*origins: bytes, **keys) -> Message:
    headers = [[b"host", b"example.com"], *([b"origin", each] for each in origins)]
    content = {"reply_channel": REPLY_CHANNEL, "path": "/", "headers": headers, **keys}
    return Message(content, "websocket.connect", None)


@allowed_hosts_only
def consumer(message, **kwargs):
    """Its documentation."""
    return message, kwargs


def is_accepted(*origins: bytes) -> bool:
    try:
        consumer(connect(*origins))
    except DenyConnection:
        return False
    return True


@pytest.fixture(autouse=True)
def hosts():
    with override_settings(ALLOWED_HOSTS=["example.com", ".sub.example.org", "[::1]", "10.0.0.1"]):
        yield


@pytest.mark.parametrize(
    "origin",
    [
        b"http://example.com",
        b"https://example.com",
        b"https://example.com:8443",
        b"https://EXAMPLE.com",
        b"HTTPS://example.com",
        b"https://example.com.",
        b"https://sub.example.org",
        b"https://deep.sub.example.org:1",
        b"http://[::1]:8000",
        b"http://10.0.0.1",
    ],
)
def test_pages_of_allowed_hosts_may_connect(origin):
    assert is_accepted(origin)


@pytest.mark.parametrize(
    "origin",
    [
        b"https://evil.example",
        b"https://example.com.evil.example",
        b"https://evilexample.com",
        b"https://example.org",
        b"https://evil-sub.example.org",
        b"https://www.example.com",
        b"http://10.0.0.10",
        b"http://[::2]",
        b"null",
        b"",
        b" ",
        b"example.com",
        b"//example.com",
        b"https:example.com",
        b"https://",
        b"https://:443",
        b"file://",
        b"file:///example.com",
        b"https://example.com/",
        b"https://example.com/path",
        b"https://example.com?query",
        b"https://example.com#fragment",
        b"https://example.com@evil.example",
        b"https://evil.example@example.com",
        b"https://evil.example#@example.com",
        b"https://evil.example\\@example.com",
        b"https://evil.example\\.example.com",
        b"https://example.com:",
        b"https://example.com:port",
        b"https://example.com:65536",
        b"https://example.com:-1",
        b"https://example.com:80:80",
        b"https://example.com, https://evil.example",
        b"https://evil.example https://example.com",
        b"https://example.com\n",
        b"https://example.com\x00",
        b" https://example.com",
        b"https://ex\xc3\xa4mple.com",
        b"https://example.com\xff",
        b"https://example\xef\xbc\x8ecom",
        b"https://*",
        b"https://[::1",
        b"https://%65xample.com",
        b"javascript:alert(1)//example.com",
    ],
    ids=repr,
)
def test_cross_site_hijacking_all_other_origins_are_refused(origin):
    assert not is_accepted(origin)


def test_a_missing_origin_is_refused():
    assert not is_accepted()


def test_two_origins_are_refused():
    assert not is_accepted(b"https://example.com", b"https://example.com")
    assert not is_accepted(b"https://example.com", b"https://evil.example")


def test_null_is_refused_where_all_hosts_are_allowed():
    with override_settings(ALLOWED_HOSTS=["*"]):
        assert is_accepted(b"https://anything.example")
        assert not is_accepted(b"null")
        assert not is_accepted()


@pytest.mark.parametrize(
    ("debug", "accepted"), [(True, True), (False, False)], ids=["debug", "production"]
)
@pytest.mark.parametrize(
    "host", [b"localhost:8000", b"127.0.0.1:8000", b"[::1]:8000", b"app.localhost"]
)
def test_without_allowed_hosts_only_this_machine_is_one_and_only_in_debug(debug, accepted, host):
    with override_settings(DEBUG=debug, ALLOWED_HOSTS=[]):
        assert is_accepted(b"http://" + host) is accepted
        assert not is_accepted(b"http://evil.example")


# -- CHANNELS_TRUSTED_ORIGINS ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        (b"https://example.com", True),
        (b"https://example.com:443", True),
        (b"https://EXAMPLE.com", True),
        (b"http://example.com", False),
        (b"http://example.com:443", False),
        (b"https://example.com:8443", False),
        (b"https://example.com:80", False),
        (b"http://10.0.0.1:8000", True),
        (b"http://10.0.0.1", False),
        (b"https://10.0.0.1:8000", False),
        (b"https://a.sub.example.org:444", True),
        (b"https://b.a.sub.example.org:444", True),
        (b"https://sub.example.org:444", False),
        (b"https://a.sub.example.org", False),
        (b"http://[::1]", False),
        (b"https://trusted.but.not.allowed", False),
        (b"https://example.com.evil.example", False),
        (b"null", False),
    ],
    ids=repr,
)
def test_scheme_and_port_are_compared_exactly_where_trusted_origins_are_given(origin, accepted):
    trusted = [
        "https://example.com",
        "http://10.0.0.1:8000",
        "https://*.sub.example.org:444",
        "https://trusted.but.not.allowed",
    ]
    with override_settings(CHANNELS_TRUSTED_ORIGINS=trusted):
        assert is_accepted(origin) is accepted


def test_an_empty_list_of_trusted_origins_trusts_none():
    with override_settings(CHANNELS_TRUSTED_ORIGINS=[]):
        assert not is_accepted(b"https://example.com")


@pytest.mark.parametrize("trusted", ["https://example.com", ["example.com"], ["https://a/b"]])
def test_trusted_origins_that_are_none_are_refused_with_what_to_write(trusted):
    with (
        override_settings(CHANNELS_TRUSTED_ORIGINS=trusted),
        pytest.raises(ImproperlyConfigured, match="CHANNELS_TRUSTED_ORIGINS"),
    ):
        is_accepted(b"https://example.com")


# -- the decorators -------------------------------------------------------------------------------


def test_the_consumer_gets_its_arguments_and_keeps_its_name():
    message = connect(b"https://example.com")
    assert consumer(message, room="lobby") == (message, {"room": "lobby"})
    assert (consumer.__name__, consumer.__doc__) == ("consumer", "Its documentation.")
    assert allowed_hosts_only is AllowedHostsOnlyOriginValidator


def test_methods_may_be_decorated():
    class Consumers:
        @allowed_hosts_only
        def connect(self, message, room):
            return self, room

        @classmethod
        @allowed_hosts_only
        def connect_class(cls, message):
            return cls

    consumers = Consumers()
    assert consumers.connect(connect(b"https://example.com"), room="a") == (consumers, "a")
    assert Consumers.connect_class(connect(b"https://example.com")) is Consumers
    with pytest.raises(DenyConnection):
        consumers.connect(connect(b"https://evil.example"), room="a")


def test_a_subclass_decides_by_itself():
    class OnlyNull(BaseOriginValidator):
        def validate_origin(self, message, origin):
            return origin == "null"

    only_null = OnlyNull(lambda message: "accepted")
    assert only_null(connect(b"null")) == "accepted"
    with pytest.raises(DenyConnection):
        only_null(connect(b"https://example.com"))
    with pytest.raises(NotImplementedError):
        BaseOriginValidator(lambda message: None)(connect(b"null"))


def test_headers_as_a_dict_will_do():
    assert consumer(connect(headers={"origin": b"https://example.com"}))
    with pytest.raises(KeyError):
        consumer.get_header(connect(), b"origin")


def test_a_consumer_without_message_is_refused():
    with pytest.raises(ValueError, match="called without Message instance"):
        consumer("no message")


# -- in a worker ----------------------------------------------------------------------------------


def dispatch(message: Message, consumer) -> list[dict]:
    """What a worker's layer is sent to the socket."""
    dispatcher = Dispatcher(make_layer([route(message.channel.name, consumer)]), sender=Dispatcher)
    dispatcher.dispatch(message.channel.name, message.content)
    found = dispatcher.channel_layer.receive(["daphne.response.abc!"])[1]
    return [] if found is None else [found]


def accept(message):
    message.reply_channel.send({"accept": True})


@pytest.mark.parametrize(
    ("setting", "origin", "reply"),
    [
        (False, b"https://evil.example", {"accept": True}),
        (True, b"https://example.com", {"accept": True}),
        (True, b"https://evil.example", {"close": True}),
        (
            "channels.security.websockets.AllowedHostsOnlyOriginValidator",
            b"https://evil.example",
            {"close": True},
        ),
    ],
)
def test_the_setting_checks_every_socket(caplog, setting, origin, reply):
    with override_settings(CHANNELS_ORIGIN_CHECK=setting):
        assert dispatch(connect(origin), accept) == [reply]
    records = [(record.levelno, record.getMessage()) for record in caplog.records]
    refused = [(level, text) for level, text in records if repr(origin.decode()) in text]
    assert (len(refused) == 1 and refused[0][0] == logging.WARNING) is (reply == {"close": True})


def test_the_setting_checks_the_first_message_only():
    message = Message(connect().content, "websocket.receive", None)
    with override_settings(CHANNELS_ORIGIN_CHECK=True):
        assert dispatch(message, accept) == [{"accept": True}]


@pytest.mark.parametrize("setting", ["no.such.Validator", "channels.message.Message", 7])
def test_a_setting_that_cannot_be_used_opens_no_socket(caplog, setting):
    with override_settings(CHANNELS_ORIGIN_CHECK=setting):
        assert dispatch(connect(b"https://example.com"), accept) == []
        assert "CHANNELS_ORIGIN_CHECK" in caplog.text
        with pytest.raises(ImproperlyConfigured):
            check_origin(connect(b"https://example.com"))


def test_a_decorated_consumer_rejects_the_handshake():
    assert dispatch(connect(b"https://evil.example"), consumer) == [{"close": True}]
