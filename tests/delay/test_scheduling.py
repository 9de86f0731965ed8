"""Tests of send_later, cancel and reschedule: what they take and what they refuse."""

import datetime
import threading
import uuid
from typing import Any

import pytest
from django.db import connections
from django.db.models.signals import pre_delete
from django.test import override_settings
from django.utils import timezone

import channels.delay
from channels import Channel, codec
from channels.delay import cancel, instants, reschedule, send_later
from channels.delay.claims import Condition, table_for
from channels.delay.models import DelayedMessage, new_key
from channels.exceptions import InvalidChannelLayerError, MessageTooLarge
from tests.delay.databases import ALIAS

pytestmark = pytest.mark.usefixtures("database", "layer")

DAY = datetime.timedelta(days=1)


def row(key):
    return DelayedMessage.objects.get(pk=key)


def seconds_until(date):
    return (instants.microseconds(date) - instants.now()) / 1e6


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [(0, 0), (1500, 1.5), (DAY, 86_400), (datetime.timedelta(microseconds=1), 0.001)],
)
def test_a_delay_is_milliseconds_or_a_timedelta(delay, seconds):
    message = row(send_later("a", {}, delay=delay))

    assert seconds - 10 < seconds_until(message.due_date) <= seconds


def test_a_date_is_taken_as_it_is():
    date = timezone.now().replace(microsecond=654321) + DAY

    assert row(send_later("a", {}, at=date)).due_date == date


def test_a_date_may_be_past():
    date = timezone.now() - DAY

    key = send_later("a", {}, at=date)

    assert DelayedMessage.objects.is_due().get().pk == uuid.UUID(key)


def test_a_naive_date_is_local_where_there_are_no_time_zones():
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        key = send_later("a", {}, at=datetime.datetime(2030, 1, 1, 9))
    assert row(key).due_date == datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def test_content_is_kept_as_it_is():
    content = {"bytes": bytes(range(256)), "n": [1, -(2**63), 1.5, None, True], "t": "\u00e9\0"}

    assert row(send_later("a", content, delay=1)).content == content


def test_a_channel_may_be_given_for_its_name():
    assert row(send_later(Channel("reply!x"), {}, delay=1)).channel_name == "reply!x"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, TypeError),
        ({"delay": 1, "at": datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)}, TypeError),
        ({"delay": 1.5}, TypeError),
        ({"delay": "1"}, TypeError),
        ({"delay": True}, TypeError),
        ({"delay": -1}, ValueError),
        ({"delay": -DAY}, ValueError),
        ({"delay": 10**18}, ValueError),
        ({"delay": datetime.timedelta.max}, ValueError),
        ({"at": datetime.datetime(2030, 1, 1)}, ValueError),
        ({"at": datetime.datetime.max.replace(tzinfo=datetime.timezone(-DAY / 2))}, ValueError),
        ({"at": datetime.datetime.max.replace(tzinfo=datetime.UTC)}, ValueError),
        ({"at": datetime.date(2030, 1, 1)}, TypeError),
        ({"at": 1_900_000_000}, TypeError),
    ],
    ids=str,
)
def test_what_is_no_time_is_refused(arguments, error):
    with pytest.raises(error, match="delay|at"):
        send_later("a", {}, **arguments)
    key = send_later("a", {}, delay=1000)
    before = row(key).due_date
    with pytest.raises(error, match="delay|at"):
        reschedule(key, **arguments)
    assert row(key).due_date == before


@pytest.mark.parametrize("name", ["", "no name", "a" * 201, "a!b!c", b"a", None, 1])
def test_what_is_no_channel_is_refused(name):
    with pytest.raises(TypeError, match="invalid channel name"):
        send_later(name, {}, delay=1)


@pytest.mark.parametrize("content", [None, [], "text", {1: 2}, {"x": object()}, {"x": 2**64}])
def test_what_is_no_content_is_refused(content):
    with pytest.raises(TypeError):
        send_later("a", content, delay=1)


def test_a_reserved_key_is_refused():
    with pytest.raises(ValueError, match="'__asgi_channel__' is reserved"):
        send_later("a", {"__asgi_channel__": "x"}, delay=1)


def test_what_the_layer_will_never_take_is_refused():
    with pytest.raises(MessageTooLarge):
        send_later("a", {"x": b"x" * codec.DEFAULT_LIMIT}, delay=1)
    assert not DelayedMessage.objects.exists()


def test_a_layer_that_is_not_configured_is_refused():
    with pytest.raises(InvalidChannelLayerError, match="'other'"):
        send_later("a", {}, delay=1, alias="other")


def test_keys_are_strings_that_nobody_guesses_and_that_grow():
    keys = [new_key() for _ in range(1000)]

    assert len(set(keys)) == 1000
    assert {key.version for key in keys} == {7}
    assert [key.int >> 80 for key in keys] == sorted(key.int >> 80 for key in keys)
    assert isinstance(send_later("a", {}, delay=1), str)


@pytest.mark.parametrize("action", [cancel, lambda key: reschedule(key, delay=1)])
def test_unknown_keys_are_told_from_what_is_no_key(action):
    assert action(str(uuid.uuid4())) is False
    assert action(uuid.uuid4()) is False
    with pytest.raises(ValueError, match="badly formed"):
        action("12")


def test_what_is_being_cancelled_is_claimed_by_nobody():
    key, claimed = send_later("a", {}, delay=0), []

    def claim() -> None:
        with table_for(ALIAS, "default").claim(instants.now(), Condition()) as batch:
            claimed.extend(batch.rows)
        connections[ALIAS].close()

    thread = threading.Thread(target=claim)

    def claim_meanwhile(**kwargs: Any) -> None:
        thread.start()
        thread.join(0.2)  # where the database makes it wait, until the row is gone

    pre_delete.connect(claim_meanwhile, sender=DelayedMessage)
    try:
        assert cancel(key)
    finally:
        pre_delete.disconnect(claim_meanwhile, sender=DelayedMessage)
        thread.join(20)
    assert claimed == []


def test_a_dead_letter_may_be_cancelled_or_rescheduled():
    dead = {"state": DelayedMessage.State.DEAD, "attempts": 3, "error": "full"}
    keys = [send_later("a", {}, delay=1) for _ in range(2)]
    DelayedMessage.objects.update(**dead)

    assert cancel(keys[0])
    assert reschedule(keys[1], delay=1000)

    message = row(keys[1])
    assert (message.state, message.attempts, message.error) == (0, 0, "")


def test_the_package_has_its_names():
    assert {"cancel", "reschedule", "send_later"} <= set(dir(channels.delay))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        channels.delay.nothing  # noqa: B018
