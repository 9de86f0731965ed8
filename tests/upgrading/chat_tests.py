"""Tests of the project that ``docs/upgrading-from-channels-4.md`` makes, beside its own ones.

``test_channels_4.py`` puts them into that project, and has Django run them there.
"""

import json

from chat import news, prices
from chat.notices import Notices
from chat.tokens import token_user
from django.contrib.auth.models import User
from django.core.signing import Signer

from channels import Channel, Group, route
from channels.delay.models import DelayedMessage
from channels.test import ChannelTestCase, Client, WSClient, apply_routes


def who(message):
    name = json.dumps(message.user.get_username())
    message.reply_channel.send({"accept": True, "text": name})


class RestOfThePage(ChannelTestCase):
    def connected(self, path):
        client = WSClient(ordered=True)
        client.send_and_consume("websocket.connect", path=path)
        return client

    def test_a_socket_remembers_its_points(self):
        client = self.connected("/quiz/")
        for answer, points in ((42, 1), (1, 1), (42, 2)):
            client.send_and_consume("websocket.receive", path="/quiz/", text={"answer": answer})
            self.assertEqual(client.receive(), {"points": points})

    def test_audiences_get_what_is_theirs(self):
        with apply_routes([Notices.as_route(path=r"^/notices/(?P<room>\w+)/$")]):
            everybody, staff = WSClient(), WSClient()
            staff.force_login(User.objects.create_user("ada", is_staff=True))
            for client in (everybody, staff):
                client.send_and_consume("websocket.connect", path="/notices/a/")
            staff.send_and_consume("websocket.receive", path="/notices/a/", text={"text": "hi"})
        self.assertEqual(everybody.receive(), {"text": "hi"})
        self.assertEqual(staff.receive(), {"text": "hi", "address": "/notices/a/"})

    def test_a_token_says_who_it_is_also_later(self):
        user = User.objects.create_user("ada")
        consumer = token_user(who)
        with apply_routes(
            [route(f"websocket.{kind}", consumer) for kind in ("connect", "receive")]
        ):
            client = WSClient()
            path = f"/?token={Signer().sign(user.pk)}"
            client.send_and_consume("websocket.connect", path=path)
            self.assertEqual(client.receive(), "ada")
            client.send_and_consume("websocket.receive", text="x")
            self.assertEqual(client.receive(), "ada")

    def test_a_tick_is_followed_by_another(self):
        Group("clock").add("listener")
        Channel("clock.tick").send({})
        Client().consume("clock.tick")
        self.assertTrue(self.get_next_message("listener", require=True)["text"].startswith("20"))
        (later,) = DelayedMessage.objects.all()
        self.assertEqual(later.channel_name, "clock.tick")

    def test_who_waits_for_news_is_answered_when_there_are_some(self):
        client = Client()
        request = {"path": "/news/", "method": "GET", "headers": [], "query_string": b""}
        client.send_and_consume("http.request", request)
        self.assertIsNone(client.receive())
        news.tell("rain")
        answer = client.receive()
        self.assertEqual((answer["status"], answer["content"]), (200, b"rain"))

    def test_what_is_asynchronous_is_awaited(self):
        with apply_routes([route("prices", prices.receive)]):
            client = Client()
            client.send_and_consume("prices")
        self.assertIn("'price': 5", client.receive()["text"])
