"""``WSClient``: what it sends, its sessions and users, and what it makes of replies."""

import subprocess
import sys
import textwrap

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.http import parse_cookie
from django.test import override_settings

from channels import Group, route
from channels.auth import channel_session_user_from_http, http_session_user
from channels.exceptions import ChannelSocketException, DenyConnection
from channels.handler import AsgiRequest
from channels.sessions import channel_and_http_session, channel_session, http_session
from channels.spec import (
    check_websocket_connect,
    check_websocket_disconnect,
    check_websocket_receive,
)
from channels.test import ChannelTestCase, WSClient, apply_routes
from tests.test.cases import failure


def accept(message):
    message.reply_channel.send({"accept": True})


def echo(message):
    message.reply_channel.send({"text": message["text"]})


def sent(client: WSClient, *args, **kwargs):
    """The content of a message as it is on the channel."""
    client.send(*args, **kwargs)
    return client.get_next_message(args[0]).content


class TestMessages(ChannelTestCase):
    def test_they_are_those_of_the_protocol(self):
        client = WSClient(ordered=True)
        connect = sent(client, "websocket.connect", path="/rooms/?a=1&b=2")
        assert connect["path"] == "/rooms/"
        assert connect["query_string"] == b"a=1&b=2"
        assert check_websocket_connect(connect, strict=True)["order"] == 0
        receive = sent(client, "websocket.receive", text="hey", path="/rooms/?a=1")
        assert "query_string" not in receive
        assert receive["path"] == "/rooms/"
        assert check_websocket_receive(receive)["text"] == "hey"
        disconnect = sent(client, "websocket.disconnect", {"code": 1000}, path="/rooms/")
        assert check_websocket_disconnect(disconnect)["order"] == 2

    def test_a_connect_without_query_has_an_empty_one(self):
        assert sent(WSClient(), "websocket.connect")["query_string"] == b""

    def test_anything_but_a_str_is_sent_as_json(self):
        for value, text in [({"a": [1]}, '{"a": [1]}'), (0, "0"), (True, "true"), ("{", "{")]:
            assert sent(WSClient(), "websocket.receive", text=value)["text"] == text

    def test_what_cannot_be_json_is_refused(self):
        with pytest.raises(TypeError, match="bytes"):
            WSClient().send("websocket.receive", text=b"raw")
        assert sent(WSClient(), "websocket.receive", {"bytes": b"raw"})["bytes"] == b"raw"

    def test_content_goes_before(self):
        content = {"path": "/given", "text": {"b": 2}, "headers": [], "reply_channel": "other"}
        message = sent(WSClient(), "websocket.receive", content, path="/argument")
        assert message == content | {"text": '{"b": 2}'}
        assert content["text"] == {"b": 2}

    def test_the_argument_text_goes_before_that_of_content(self):
        assert sent(WSClient(), "websocket.receive", {"text": "a"}, text="b")["text"] == "b"

    def test_they_are_counted_on_demand(self):
        client = WSClient(ordered=True)
        orders = [sent(client, "websocket.receive", text="x")["order"] for _ in range(3)]
        assert orders == [0, 1, 2]
        assert client.order == 3
        client.order = 7
        assert sent(client, "websocket.receive", text="x")["order"] == 7
        with pytest.raises(ValueError, match=r"leave out 'order' \(5\), or make it without order"):
            client.send("websocket.receive", {"order": 5})
        assert "order" not in sent(WSClient(), "websocket.receive")

    def test_query_strings_reach_djangos_request(self):
        def consumer(message):
            message.content["method"] = "FAKE"
            message.reply_channel.send({"text": dict(AsgiRequest(message).GET)})

        client = WSClient()
        path = "/test?key1=val1&key2=val2&key1=val3"
        channels = ["websocket.connect", "websocket.receive"]
        with apply_routes(route(channels, consumer, path="^/test$")):
            client.send_and_consume("websocket.connect", path=path, check_accept=False)
            assert client.receive() == {"key2": ["val2"], "key1": ["val1", "val3"]}
            client.send_and_consume("websocket.receive", path=path)
            assert client.receive() == {}


class TestCookiesAndHeaders(ChannelTestCase):
    def test_cookies_are_sent_as_browsers_send_them(self):
        client = WSClient()
        client.set_cookie("foo", "not-bar")
        client.set_cookie("foo", "bar")
        client.set_cookie("qux", 'q"u; x')
        assert client.get_cookies() == {"foo": "bar", "qux": 'q"u; x'}
        assert parse_cookie(client.headers["cookie"].decode()) == client.get_cookies()
        [[name, value]] = sent(client, "websocket.connect")["headers"]
        assert (name, value) == (b"cookie", client.headers["cookie"])

    def test_headers_are_sent_in_bytes_and_lower_case(self):
        client = WSClient()
        client.set_header("Origin", "http://example.com")
        client.set_header("X-Raw", b"\xff")
        assert client.headers == {"Origin": "http://example.com", "X-Raw": b"\xff"}
        assert sent(client, "websocket.connect")["headers"] == [
            [b"origin", b"http://example.com"],
            [b"x-raw", b"\xff"],
        ]

    def test_cookies_are_no_headers_to_set(self):
        for name in ("cookie", "Cookie"):
            with pytest.raises(ValueError, match="use set_cookie"):
                WSClient().set_header(name, "a=b")


class TestReplies(ChannelTestCase):
    def reply(self, client, content):
        client.channel_layer.send(client.reply_channel, content)

    def test_text_is_read_as_json_unless_it_is_not_to_be(self):
        client = WSClient()
        self.reply(client, {"text": '{"a": 1}'})
        assert client.receive() == {"a": 1}
        self.reply(client, {"text": "ok"})
        assert client.receive(json=False) == "ok"

    def test_text_that_is_no_json_is_named(self):
        client = WSClient()
        self.reply(client, {"text": "ok"})
        with pytest.raises(ValueError, match=r"the reply 'ok' is no JSON .*receive\(json=False\)"):
            client.receive()

    def test_a_reply_without_text_comes_whole(self):
        client = WSClient()
        for content in ({"accept": True}, {"close": 4000}, {"bytes": b"raw"}):
            self.reply(client, content)
            assert client.receive() == content
        assert client.receive() is None

    def test_it_hears_its_groups(self):
        client = WSClient()
        client.join_group("group")
        Group("group").send({"text": "[1]"})
        assert client.receive() == [1]


class TestAcceptance(ChannelTestCase):
    def connect(self, *replies, **arguments):
        def consumer(message):
            for reply in replies:
                message.reply_channel.send(reply)

        client = WSClient()
        with apply_routes(route("websocket.connect", consumer)):
            client.send_and_consume("websocket.connect", **arguments)
        return client

    def test_an_accepted_socket_has_nothing_more_to_read(self):
        assert self.connect({"accept": True}).receive() is None

    def test_what_follows_is_left_to_be_read(self):
        assert self.connect({"accept": True}, {"text": "1"}).receive() == 1

    def test_what_comes_with_it_is_left_to_be_read(self):
        client = self.connect({"accept": True, "text": "1"}, {"text": "2"})
        assert [client.receive(), client.receive(), client.receive()] == [1, 2, None]

    def test_a_frame_accepts(self):
        assert self.connect({"text": "1"}).receive() == 1
        assert self.connect({"bytes": b"raw"}).receive() == {"bytes": b"raw"}

    def test_a_refusal_fails_unless_it_is_expected(self):
        for reply in ({"accept": False}, {"close": True}, {"text": ""}, {}):
            with pytest.raises(AssertionError, match="to accept the socket"):
                self.connect(reply)
            client = self.connect(reply, check_accept=False)
            assert client.receive(json=False) == reply.get("text", reply)

    def test_other_channels_need_no_acceptance(self):
        client = WSClient()
        with apply_routes(route("websocket.receive", echo)):
            client.send_and_consume("websocket.receive", text={"a": 1})
        assert client.receive() == {"a": 1}

    def test_denials_act_on_the_socket(self):
        def deny(message):
            raise DenyConnection

        client = WSClient()
        with apply_routes(route("websocket.connect", deny)):
            client.send_and_consume("websocket.connect", check_accept=False)
        assert client.receive() == {"close": True}

    def test_exceptions_of_an_application_act_on_the_socket(self):
        class Custom(ChannelSocketException):
            def run(self, message):
                message.reply_channel.send({"text": "error"})

        def consumer(message):
            raise Custom

        client = WSClient()
        with apply_routes(route("websocket.receive", consumer)):
            client.send_and_consume("websocket.receive")
        assert client.receive(json=False) == "error"


@pytest.mark.parametrize(
    ("reply", "said"),
    [({"close": True}, "it sent {'close': True}."), (None, "it sent nothing.")],
)
def test_a_socket_that_is_not_accepted_is_told(reply, said):
    def consumer(message):
        if reply:
            message.reply_channel.send(reply)

    class Case(ChannelTestCase):
        def test(self):
            with apply_routes(route("websocket.connect", consumer)):
                WSClient().send_and_consume("websocket.connect")

    assert (
        "AssertionError: Expected the consumer of 'websocket.connect' to accept the socket, by "
        f"{{'accept': True}}, but {said} Where it is to refuse, call with check_accept=False."
    ) in failure(Case)


class TestSessions(ChannelTestCase):
    def test_a_client_that_does_nothing_with_them_has_none(self):
        client = WSClient()
        with apply_routes(route("websocket.connect", channel_session(http_session(accept)))):
            client.send_and_consume("websocket.connect")
        assert client.get_cookies() == {}
        assert Session.objects.count() == 0

    def test_consumers_see_what_a_test_has_saved(self):
        client = WSClient()

        @http_session
        def consumer(message):
            message.reply_channel.send({"text": str(message.http_session["value"])})

        client.session["value"] = 5
        client.session.save()
        with apply_routes(route("websocket.receive", consumer)):
            client.send_and_consume("websocket.receive")
        assert client.receive() == 5

    def test_a_test_sees_what_consumers_have_saved(self):
        client = WSClient()

        @http_session
        @channel_session
        def consumer(message):
            message.http_session["value"] = message.http_session.get("value", 0) + 1
            message.channel_session["value"] = "of the channel"

        assert "value" not in client.session
        assert "value" not in client.channel_session
        with apply_routes(route("websocket.receive", consumer)):
            for count in (1, 2):
                client.send_and_consume("websocket.receive")
                assert client.session["value"] == count
                assert client.channel_session["value"] == "of the channel"

    def test_a_test_may_fill_the_session_of_the_socket(self):
        client = WSClient()

        @channel_session
        def consumer(message):
            message.reply_channel.send({"text": message.channel_session["value"]})

        client.channel_session["value"] = "[1]"
        client.channel_session.save()
        with apply_routes(route("websocket.receive", consumer)):
            client.send_and_consume("websocket.receive")
        assert client.receive() == [1]

    def test_the_browsers_session_outlives_the_socket(self):
        client = WSClient()
        client.session["value"] = 5
        client.session.save()
        routes = [
            route("websocket.connect", channel_and_http_session(accept)),
            route("websocket.disconnect", channel_and_http_session(lambda message: None)),
        ]
        with apply_routes(routes):
            client.send_and_consume("websocket.connect")
            client.send_and_consume("websocket.disconnect", {"code": 1000})
        assert client.session["value"] == 5
        assert dict(client.channel_session.items()) == {}

    def test_a_session_of_djangos_client_may_be_taken_over(self):
        session = self.client.session
        session["value"] = 5
        session.save()
        client = WSClient()
        client.set_cookie("sessionid", session.session_key)
        assert client.session["value"] == 5

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
    def test_sessions_in_cookies_follow_what_is_in_them(self):
        client = WSClient()

        @http_session
        def consumer(message):
            message.reply_channel.send({"text": str(message.http_session["value"])})

        client.session["value"] = 5
        client.session.save()
        with apply_routes(route("websocket.receive", consumer)):
            for _ in range(2):
                client.send_and_consume("websocket.receive")
                assert client.receive() == 5


class TestUsers(ChannelTestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = get_user_model().objects.create_user("ada", password="right")

    def seen(self, client):
        """Who consumers take the client's user for, at connect and later."""

        @channel_session_user_from_http
        def connect(message):
            accept(message)
            message.reply_channel.send({"text": f'"{message.user.username}"'})

        @http_session_user
        def receive(message):
            message.reply_channel.send({"text": f'"{message.user.username}"'})

        routes = [route("websocket.connect", connect), route("websocket.receive", receive)]
        with apply_routes(routes):
            client.send_and_consume("websocket.connect")
            client.send_and_consume("websocket.receive")
        return [client.receive(), client.receive()]

    def test_a_user_logs_in_with_credentials(self):
        client = WSClient()
        assert client.login(username="ada", password="right") is True
        assert self.seen(client) == ["ada", "ada"]

    def test_wrong_credentials_log_nobody_in(self):
        client = WSClient()
        assert client.login(username="ada", password="wrong") is False
        assert self.seen(client) == ["", ""]
        assert Session.objects.count() == 0

    def test_an_inactive_user_does_not_log_in(self):
        get_user_model().objects.filter(pk=self.user.pk).update(is_active=False)
        assert WSClient().login(username="ada", password="right") is False

    def test_a_user_is_logged_in_by_force(self):
        client = WSClient()
        client.force_login(self.user)
        assert self.seen(client) == ["ada", "ada"]

    @override_settings(
        AUTHENTICATION_BACKENDS=[
            "django.contrib.auth.backends.ModelBackend",
            "django.contrib.auth.backends.RemoteUserBackend",
        ]
    )
    def test_by_force_with_a_backend(self):
        client = WSClient()
        client.force_login(self.user, "django.contrib.auth.backends.RemoteUserBackend")
        assert client.session["_auth_user_backend"].endswith("RemoteUserBackend")
        assert self.seen(client) == ["ada", "ada"]

    def test_a_login_keeps_what_is_in_the_session_and_changes_its_key(self):
        client = WSClient()
        client.session["value"] = 5
        client.session.save()
        key = client.session.session_key
        client.force_login(self.user)
        assert client.session["value"] == 5
        assert client.session.session_key != key
        assert client.get_cookies() == {"sessionid": client.session.session_key}
        assert not Session.objects.filter(session_key=key).exists()

    def test_another_login_begins_another_session(self):
        client = WSClient()
        client.force_login(self.user)
        client.session["value"] = 5
        client.session.save()
        client.force_login(get_user_model().objects.create_user("grace"))
        assert "value" not in client.session
        assert self.seen(client) == ["grace", "grace"]


def test_without_the_app_of_sessions_it_works_without_them(tmp_path):
    program = """
        from django.conf import settings
        layer = {"BACKEND": "channels.layers.inmemory.ChannelLayer", "ROUTING": []}
        settings.configure(INSTALLED_APPS=["channels"], CHANNEL_LAYERS={"default": layer})
        import django
        django.setup()
        from django.core.exceptions import ImproperlyConfigured
        from channels import route
        from channels.test import WSClient, apply_routes

        client = WSClient()
        client.set_cookie("a", "b")
        accept = lambda message: message.reply_channel.send({"accept": True})
        with apply_routes(route("websocket.connect", accept)):
            client.send_and_consume("websocket.connect")
        for use in ("session", "channel_session"):
            try:
                getattr(client, use)
            except ImproperlyConfigured as error:
                print(error)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"WSClient.{use} needs 'django.contrib.sessions'; add it to INSTALLED_APPS"
        for use in ("session", "channel_session")
    ]
