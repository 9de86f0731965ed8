"""Tests of the delay server as a whole, in threads, over a layer in memory."""

import logging
import time
import uuid
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from channels import codec
from channels.delay import cancel, instants, reschedule, send_later
from channels.delay.claims import Table
from channels.delay.models import DelayedMessage
from channels.delay.worker import Worker
from channels.exceptions import LayerUnavailable
from tests.delay.databases import ALIAS
from tests.waiting import wait_until
from tests.worker.workers import running

FAR = 3_600_000


def receive(layer: Any, channel: str = "later") -> dict[str, Any]:
    """The next message of ``channel``."""
    name, content = layer.receive([channel], block=True, timeout=20)
    assert name is not None, f"nothing came on {channel}"
    return content


def nothing_left() -> None:
    wait_until(lambda: not DelayedMessage.objects.exists())


def on_asgi_delay(layer: Any, **changes: Any) -> None:
    layer.send("asgi.delay", {"channel": "later", "content": {}, "delay": 1, **changes})


# -- When ------------------------------------------------------------------------------------------


def test_a_message_to_asgi_delay_is_sent_when_it_is_due(run, layer):
    run()
    begin = time.monotonic()

    on_asgi_delay(layer, content={"x": 1, "bytes": b"\xff\x00"}, delay=200)

    assert receive(layer) == {"x": 1, "bytes": b"\xff\x00"}
    assert time.monotonic() - begin >= 0.2
    nothing_left()


def test_what_send_later_stored_is_sent_when_it_is_due(run, layer):
    run()
    begin = time.monotonic()

    send_later("later", {"x": 1, "bytes": b"\xff\x00"}, delay=200)

    assert receive(layer) == {"x": 1, "bytes": b"\xff\x00"}
    assert time.monotonic() - begin >= 0.2
    nothing_left()


def test_it_wakes_for_a_message_that_is_due_earlier_than_the_one_it_waits_for(run, layer, stored):
    run()
    on_asgi_delay(layer, content={"n": 1}, delay=FAR)
    wait_until(stored)

    on_asgi_delay(layer, content={"n": 2}, delay=10)
    assert receive(layer) == {"n": 2}
    send_later("later", {"n": 3}, delay=10)
    assert receive(layer) == {"n": 3}
    wait_until(lambda: [message.content for message in stored()] == [{"n": 1}])


def test_a_row_that_was_saved_by_hand_is_sent(run, layer):
    run()

    DelayedMessage.objects.create(channel_name="later", content='{"x": 1}', delay=10)

    assert receive(layer) == {"x": 1}


def test_what_was_due_while_no_server_ran_is_sent_at_its_start_in_order(run, layer):
    past = instants.now() - 10**8
    for n in (3, 1, 2):
        send_later("later", {"n": n}, at=instants.from_microseconds(past + n))

    run()

    assert [receive(layer)["n"] for _ in range(3)] == [1, 2, 3]


def test_messages_that_are_due_together_are_sent_in_the_order_of_their_arrival(run, layer):
    run()

    for n in range(100):
        on_asgi_delay(layer, content={"n": n}, delay=100)

    assert [receive(layer)["n"] for _ in range(100)] == list(range(100))


def test_a_message_is_sent_once_it_is_committed(run, layer):
    run()

    with transaction.atomic(using=ALIAS):
        send_later("later", {"n": 1}, delay=0)
        on_asgi_delay(layer, channel="other", delay=300)  # SQLite takes one writer at a time
        assert layer.receive(["later"], block=True, timeout=0.05) == (None, None)

    assert receive(layer) == {"n": 1}
    receive(layer, "other")


def test_a_message_that_is_rolled_back_is_never_sent(run, layer):
    run()

    with transaction.atomic(using=ALIAS):
        send_later("later", {"n": 1}, delay=0)
        transaction.set_rollback(True, using=ALIAS)
    send_later("later", {"n": 2}, delay=50)

    assert receive(layer) == {"n": 2}


def test_a_cancelled_message_is_not_sent(run, layer):
    run()
    key = send_later("later", {"n": 1}, delay=FAR)

    assert cancel(key)
    assert not cancel(key)
    assert not reschedule(key, delay=0)

    send_later("later", {"n": 2}, delay=0)
    assert receive(layer) == {"n": 2}


def test_a_message_may_be_sent_earlier_or_later_than_was_said(run, layer, stored):
    run()
    earlier = send_later("later", {"n": 1}, delay=FAR)
    later = send_later("later", {"n": 2}, delay=1000)

    assert reschedule(later, delay=FAR)
    assert reschedule(earlier, delay=0)

    assert receive(layer) == {"n": 1}
    wait_until(lambda: [str(message.key) for message in stored()] == [later])


def test_a_step_of_the_clock_is_followed(run, layer, stored, monkeypatch):
    worker = run()
    send_later("later", {"n": 1}, delay=FAR)
    send_later("later", {"n": 2}, delay=3 * FAR)
    now = instants.now

    monkeypatch.setattr(instants, "now", lambda: now() + 2 * FAR * 1000)
    worker._clock_was_set()

    assert receive(layer) == {"n": 1}
    wait_until(lambda: [message.content for message in stored()] == [{"n": 2}])


def test_a_step_back_of_the_clock_has_messages_wait_for_their_date(run, layer, stored, monkeypatch):
    worker = run()
    send_later("later", {"n": 1}, delay=500)
    now = instants.now

    monkeypatch.setattr(instants, "now", lambda: now() - FAR * 1000)
    worker._clock_was_set()
    send_later("later", {"n": 2}, delay=600)

    assert receive(layer) == {"n": 2}
    assert [message.content for message in stored() if message.content["n"] == 1]


# -- By many ---------------------------------------------------------------------------------------


def test_several_servers_share_the_work_and_send_each_message_once(run, layer):
    for number in range(3):
        run(n_threads=1 + number % 2)
    sent = {(way, n) for way in ("stored", "sent") for n in range(150)}

    for n in range(150):
        send_later("later", {"n": n, "way": "stored"}, delay=200)
        layer.wait_for_room("asgi.delay", 10)
        on_asgi_delay(layer, content={"n": n, "way": "sent"}, delay=200)

    received = [receive(layer) for _ in range(300)]
    assert {(each["way"], each["n"]) for each in received} == sent
    nothing_left()
    assert layer.receive(["later"]) == (None, None)


def test_what_another_server_holds_is_sent_when_that_has_died(run, layer):
    """A lease that ends; a lock that goes with its connection."""
    key = send_later("later", {"n": 1}, delay=0)
    if connections[ALIAS].vendor == "sqlite":
        until = instants.now() + 300_000
        rows = DelayedMessage.objects.filter(pk=key)
        rows.update(claimed_by=uuid.uuid4(), claimed_until=until)
        assert not cancel(key)
        run()
        assert receive(layer) == {"n": 1}
        assert instants.now() >= until
    else:
        with transaction.atomic(using=ALIAS):
            list(DelayedMessage.objects.using(ALIAS).select_for_update())
            run()
            assert layer.receive(["later"], block=True, timeout=0.2) == (None, None)
        assert receive(layer) == {"n": 1}
    nothing_left()


# -- Full channels ---------------------------------------------------------------------------------


def test_a_full_channel_gets_its_messages_in_order_as_there_is_room(run, layer, stored):
    run()
    for n in range(350):
        send_later("later", {"n": n}, delay=0)
    send_later("other", {}, delay=50)

    receive(layer, "other")
    wait_until(lambda: len(stored()) == 250)  # the layer holds the others

    assert [receive(layer)["n"] for _ in range(350)] == list(range(350))
    nothing_left()


def test_a_full_channel_is_tried_again_where_the_layer_does_not_tell_of_room(
    run, layer, monkeypatch
):
    monkeypatch.delattr("channels.layers.base.BaseChannelLayer.wait_for_room")
    run()
    for n in range(101):
        send_later("later", {"n": n}, delay=0)

    assert [receive(layer)["n"] for _ in range(101)] == list(range(101))


def test_a_layer_without_groups_is_served_after_its_sleep(database, layer, caplog, monkeypatch):
    monkeypatch.setattr(layer.channel_layer, "extensions", [])
    monkeypatch.setattr(type(layer.channel_layer), "supports_groups", False)
    worker = Worker(layer, False, database_sleep_duration=0.05)
    with running(worker):
        wait_until(lambda: "has no groups" in caplog.text)
        send_later("later", {"n": 1}, delay=0)
        assert receive(layer) == {"n": 1}


def test_a_process_channel_that_is_full_keeps_nobody_else_waiting(run, layer, stored):
    run()
    for n in range(120):
        send_later("daphne.response.a!x", {"n": n}, delay=0)
    send_later("daphne.response.b!x", {"n": 0}, delay=50)

    receive(layer, "daphne.response.b!")
    assert [receive(layer, "daphne.response.a!")["n"] for _ in range(120)] == list(range(120))
    nothing_left()


def test_a_message_whose_channel_stays_full_is_a_dead_letter_that_can_be_sent_again(
    run, layer, stored, settings, caplog
):
    settings.CHANNELS_DELAY_RETRY_FOR = 0.3
    run()
    while layer.receive(["later"])[0] is None:
        for _ in range(100):
            layer.send("later", {})
    layer.send("later", {})

    key = send_later("later", {"n": 1}, delay=0)
    wait_until(lambda: DelayedMessage.objects.dead().exists())

    (message,) = stored()
    assert "stayed full for 0.3 s" in message.error
    assert message.attempts > 1
    assert f"{key} to channel 'later' is a dead letter now" in caplog.text
    for _ in range(100):
        receive(layer)
    assert DelayedMessage.objects.all().requeue() == 1
    assert receive(layer) == {"n": 1}


# -- What is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"delay": -1},
        {"delay": 1.5},
        {"delay": "1"},
        {"delay": True},
        {"delay": None},
        {"delay": 2**62},
        {"delay": 10_000 * 365 * 86_400_000},
        {"channel": "no name"},
        {"channel": ""},
        {"channel": "a" * 201},
        {"channel": b"later"},
        {"channel": ["later"]},
        {"content": None},
        {"content": [1]},
        {"content": "text"},
        {"content": {"__asgi_channel__": "x"}},
    ],
    ids=repr,
)
def test_an_invalid_message_is_dropped_and_logged(run, layer, stored, caplog, changes):
    run()

    on_asgi_delay(layer, **changes)
    on_asgi_delay(layer, channel="good")

    receive(layer, "good")
    wait_until(lambda: not stored())
    assert "A message to asgi.delay was dropped: " in caplog.text
    assert layer.receive(["later"]) == (None, None)


@pytest.mark.parametrize("message", [{}, {"channel": "later"}, {"delay": 1}, {"due": "x", "x": 1}])
def test_an_incomplete_message_is_dropped_and_logged(run, layer, caplog, message):
    run()

    layer.send("asgi.delay", message)
    on_asgi_delay(layer, channel="good")

    receive(layer, "good")
    assert "is missing" in caplog.text


def test_a_delay_of_0_means_now(run, layer):
    run()

    on_asgi_delay(layer, delay=0)

    assert receive(layer) == {}


def test_a_delay_of_years_is_kept(run, layer, stored):
    run()

    on_asgi_delay(layer, delay=50 * 365 * 86_400_000)

    (message,) = wait_until(stored)
    years = (instants.microseconds(message.due_date) - instants.now()) / 1e6 / 86_400 / 365
    assert 49.9 < years <= 50


def test_strangers_may_say_anything_to_the_servers(run, layer):
    run()

    for content in ({}, {"due": "now"}, {"due": None}, {"due": -1}, {"due": 2**63 - 1}):
        layer.send_group("channels.delay", content)
    send_later("later", {"n": 1}, delay=50)

    assert receive(layer) == {"n": 1}


def test_rows_that_cannot_be_sent_are_dead_letters_and_stop_nobody(run, layer, stored, caplog):
    due = instants.now() - 10**6
    too_large = codec.encode({"x": b"y" * 5_000_000}, codec.MAX_SIZE)
    rows = [("later", b"\xc1"), ("no name", b"\x80"), ("later", too_large)]
    DelayedMessage.objects.bulk_create(
        DelayedMessage(channel_name=name, body=body, due_date=due) for name, body in rows
    )
    run()

    send_later("later", {"n": 1}, delay=0)

    assert receive(layer) == {"n": 1}
    wait_until(lambda: len(stored()) == 3)
    assert {message.state for message in stored()} == {DelayedMessage.State.DEAD}
    assert all(message.error for message in stored())
    assert caplog.text.count("is a dead letter now") == 3


def test_content_at_the_limit_of_the_layer_is_sent_among_others(run, layer):
    run()
    largest = {"x": b"y" * (layer.message_limit - 8)}
    assert layer.message_limit - 8 > 4_000_000

    past = instants.from_microseconds(instants.now())
    with transaction.atomic(using=ALIAS):
        for content in ({"n": 1}, largest, {"n": 2}):
            send_later("later", content, at=past)

    assert [receive(layer) for _ in range(3)] == [{"n": 1}, largest, {"n": 2}]


# -- Outages ---------------------------------------------------------------------------------------


@pytest.fixture
def table():
    """Takes the table away, and gives it back."""

    def rename(before: str, after: str) -> None:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {before} RENAME TO {after}")

    name = DelayedMessage._meta.db_table
    return lambda there: rename(*(("gone", name) if there else (name, "gone")))


def test_messages_wait_for_a_database_that_fails(run, layer, table, caplog):
    caplog.set_level(logging.INFO, "django.channels")
    run()
    table(False)

    on_asgi_delay(layer, content={"n": 1})
    wait_until(lambda: "Delayed messages cannot be stored" in caplog.text)
    table(True)

    assert receive(layer) == {"n": 1}
    assert "Delayed messages are stored again." in caplog.text


def test_a_server_that_stops_while_the_database_fails_leaves_messages_to_others(
    run, layer, table, caplog
):
    worker = run()
    table(False)
    on_asgi_delay(layer, content={"n": 1}, delay=2)
    on_asgi_delay(layer, content={"n": 2}, delay=FAR)
    wait_until(lambda: "Delayed messages cannot be stored" in caplog.text)

    worker.stop()

    given_back = [receive(layer, "asgi.delay") for _ in range(2)]
    table(True)
    delays = {each["content"]["n"]: each["delay"] for each in given_back}
    assert delays[1] <= 2
    assert FAR - 60_000 < delays[2] <= FAR


def test_messages_wait_for_a_layer_that_fails(run, layer, stored, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "django.channels")
    run()
    send = layer.channel_layer.send
    failing = [True]

    def send_or_fail(channel: str, message: dict[str, Any]) -> None:
        if failing and channel == "later" and message["n"] == 1:
            raise LayerUnavailable("the store is away")
        send(channel, message)

    monkeypatch.setattr(layer.channel_layer, "send", send_or_fail)
    for n in range(3):
        send_later("later", {"n": n}, delay=0)
    wait_until(lambda: "Delayed messages cannot be sent" in caplog.text)
    failing.clear()

    assert [receive(layer)["n"] for _ in range(3)] == [0, 1, 2]
    nothing_left()
    wait_until(lambda: "Delayed messages are sent again." in caplog.text)


def test_a_sent_message_whose_row_could_not_be_deleted_is_not_sent_again(
    run, layer, table, monkeypatch, caplog
):
    run()
    send = layer.channel_layer.send

    def send_and_fail(channel: str, message: dict[str, Any]) -> None:
        send(channel, message)
        if channel == "later" and not taken:
            taken.append(channel)
            failing.append(True)

    taken: list[str] = []
    failing: list[bool] = []
    delete = Table.delete

    def delete_or_fail(table: Table, keys: Any) -> None:
        if failing:
            raise OperationalError("the connection broke")
        delete(table, keys)

    monkeypatch.setattr(layer.channel_layer, "send", send_and_fail)
    monkeypatch.setattr(Table, "delete", delete_or_fail)
    send_later("later", {"n": 1}, delay=0)
    wait_until(lambda: "Delayed messages cannot be sent" in caplog.text)
    failing.clear()

    nothing_left()
    assert receive(layer) == {"n": 1}
    assert layer.receive(["later"]) == (None, None)


def test_a_flush_of_the_layer_leaves_a_server_that_is_woken(run, layer):
    run()

    layer.flush()
    wait_until(lambda: layer.group_channels("channels.delay"))
    send_later("later", {"n": 1}, delay=10)

    assert receive(layer) == {"n": 1}
