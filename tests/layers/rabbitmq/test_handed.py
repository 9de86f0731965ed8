"""What is remembered of messages that were handed out."""

from typing import Any

import pytest

from channels.layers.rabbitmq import handed as handed_module
from channels.layers.rabbitmq.handed import Handed
from channels.layers.rabbitmq.session import PREFETCHED_ALONE

ONE: Any = object()
OTHER: Any = object()


def test_a_message_is_new_once() -> None:
    handed = Handed(60)
    assert handed.first_time(ONE, "serv!", "a")
    assert not handed.first_time(OTHER, "serv!", "a")
    handed.lost(ONE)
    assert not handed.first_time(OTHER, "serv!", "a")
    assert handed.first_time(OTHER, "serv!", "b")


def test_a_message_without_an_identifier_is_new() -> None:
    handed = Handed(60)
    for _ in range(2):
        assert handed.first_time(ONE, "serv!", "")


def test_the_latest_messages_of_each_lost_session_are_remembered() -> None:
    handed = Handed(60)
    numbers = [str(number) for number in range(200)]
    for session, part in ((ONE, numbers[:100]), (OTHER, numbers[100:])):
        assert all(handed.first_time(session, "serv!", number) for number in part)
        handed.lost(session)
    session: Any = object()
    for part in (numbers[:100], numbers[100:]):
        known = [one for one in part if not handed.first_time(session, "serv!", one)]
        assert known == part[-PREFETCHED_ALONE - 1 :]


def test_what_the_broker_delivers_no_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(handed_module.time, "monotonic", lambda: now)
    handed = Handed(60)
    for session in (ONE, OTHER):
        handed.first_time(session, "serv!", f"of {id(session)}")
        handed.lost(session)
        now += 121
    assert list(handed._lost) == [f"of {id(OTHER)}"]
    assert not handed._latest


def test_names_that_are_used_once_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_module, "_REMEMBERED", 3)
    handed = Handed(60)
    for number in range(5):
        handed.first_time(ONE, f"serv{number}!", str(number))
        handed.first_time(ONE, "serv!", f"x{number}")
    assert list(handed._latest) == ["serv3!", "serv4!", "serv!"]
