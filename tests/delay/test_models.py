"""Tests of the model, as applications of 1.x used it."""

import json

import pytest

from channels.delay import instants, send_later
from channels.delay.models import DelayedMessage
from channels.exceptions import InvalidStoredMessage
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("database")


def make(**fields):
    return DelayedMessage.objects.create(channel_name="later", **{"content": {"n": 1}, **fields})


def test_content_may_be_the_json_text_of_1x(layer):
    message = DelayedMessage(channel_name="later", content=json.dumps({"x": [1, None]}), delay=0)
    message.save()

    assert DelayedMessage.objects.get().content == {"x": [1, None]}


@pytest.mark.parametrize("content", ["no json", "[1]", None, {"x": object()}])
def test_what_is_no_content_is_refused(content):
    with pytest.raises((TypeError, ValueError)):
        DelayedMessage(channel_name="later", content=content)


def test_bytes_that_are_no_message_show_when_they_are_read(layer):
    make(content={}, delay=1000)
    DelayedMessage.objects.update(body=b"\xc1")

    message = DelayedMessage.objects.get()

    with pytest.raises(InvalidStoredMessage):
        message.content  # noqa: B018


def test_delay_is_milliseconds_from_now(layer):
    message = make(delay=5000)

    assert 0 < message.delay <= 5000
    message.delay = -1000
    assert instants.microseconds(message.due_date) < instants.now() - 999_999


def test_is_due_is_what_may_be_sent_now(layer):
    past = make(delay=-1000)
    make(delay=60_000)
    make(delay=-1000, state=DelayedMessage.State.DEAD)

    assert list(DelayedMessage.objects.is_due()) == [past]
    assert DelayedMessage.objects.pending().count() == 2
    assert DelayedMessage.objects.dead().count() == 1


def test_send_sends_and_deletes(layer):
    make(delay=60_000).send()

    assert layer.receive(["later"]) == ("later", {"n": 1})
    assert not DelayedMessage.objects.exists()


def test_send_takes_a_layer(layer):
    class Other:
        ChannelFull = layer.ChannelFull
        sent = []

        def send(self, channel, content):
            self.sent.append((channel, content))

    make(delay=0).send(Other())

    assert Other.sent == [("later", {"n": 1})]
    assert layer.receive(["later"]) == (None, None)


def test_send_to_a_full_channel_has_it_due_later(layer):
    for _ in range(100):
        layer.send("later", {})
    message = make(delay=0)

    message.send(requeue_delay=5000)

    assert 0 < DelayedMessage.objects.get().delay <= 5000


def test_requeue_sends_dead_letters_and_nothing_else(run, layer):
    dead = make(delay=60_000, state=DelayedMessage.State.DEAD)
    pending = make(delay=60_000)
    run()

    assert pending.requeue() is False
    assert dead.requeue() is True

    assert layer.receive(["later"], block=True, timeout=20)[1] == {"n": 1}
    wait_until(lambda: list(DelayedMessage.objects.all()) == [pending])


def test_messages_of_other_layers_are_left_alone(run, layer):
    other = make(delay=0, layer="other")
    run()

    send_later("later", {"n": 2}, delay=0)

    assert layer.receive(["later"], block=True, timeout=20)[1] == {"n": 2}
    wait_until(lambda: list(DelayedMessage.objects.all()) == [other])


def test_it_says_what_it_is():
    message = DelayedMessage(channel_name="later")

    assert str(message) == f"{message.key} to later"
