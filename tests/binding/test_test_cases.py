"""Data binding in the test cases of ``channels.test``."""

import json
import unittest

from django.db import transaction

from channels.test import ChannelTestCase, TransactionChannelTestCase, WSClient, apply_routes
from tests.binding.bindings import Demultiplexer
from tests.binding.models import Notice


class NeverCommitted(ChannelTestCase):
    def scenario(self):
        client = WSClient()
        client.join_group("notices")
        Notice.objects.create(text="a")
        received = client.receive()
        assert received["stream"] == "notices"
        assert received["payload"]["data"]["text"] == "a"
        with transaction.atomic():
            Notice.objects.create(text="b")
            assert client.receive()["payload"]["data"]["text"] == "b"


class Committed(TransactionChannelTestCase):
    def scenario(self):
        client = WSClient()
        client.join_group("notices")
        with transaction.atomic():
            Notice.objects.create(text="a")
            assert client.receive() is None
        assert client.receive()["payload"]["data"]["text"] == "a"


class Inbound(ChannelTestCase):
    def scenario(self):
        with apply_routes([Demultiplexer.as_route(path="/")]):
            client = WSClient()
            client.send_and_consume("websocket.connect", path="/")
            frame = {"stream": "notices", "payload": {"action": "create", "data": {"text": "a"}}}
            client.send_and_consume("websocket.receive", path="/", text=frame)
            assert Notice.objects.get().text == "a"
            assert client.receive()["payload"]["action"] == "create"
            frame["stream"] = "unknown"
            with self.assertRaises(ValueError):
                client.send_and_consume("websocket.receive", path="/", text=json.dumps(frame))
            assert client.receive() == {"close": 1008}


def passes(case):
    result = unittest.TestResult()
    unittest.defaultTestLoader.suiteClass([case("scenario")]).run(result)
    assert result.testsRun == 1
    assert not result.errors + result.failures, result.errors + result.failures


def test_a_case_whose_transactions_are_never_committed_is_told_at_once():
    passes(NeverCommitted)


def test_a_case_that_commits_is_told_then():
    passes(Committed)


def test_a_client_may_change_instances():
    passes(Inbound)
