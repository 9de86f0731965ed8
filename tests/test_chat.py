"""The chat example over plain sockets: many who talk at once, and what a page would not send."""

import json
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.chat_server import CHAT, ChatServer

#: What the example's consumers say of themselves; they are not imported, the server runs them.
CONSUMERS = (CHAT / "rooms" / "consumers.py").read_text()
CATCH_UP = int(re.findall(r"^CATCH_UP = (\d+)$", CONSUMERS, re.MULTILINE)[0])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatServer]:
    server = ChatServer(tmp_path_factory.mktemp("chat"))
    server.start()
    yield server
    server.stop()


def enter(server: ChatServer, room: str, **query: object) -> ClientConnection:
    """A socket in ``room``."""
    pairs = "&".join(f"{key}={value}" for key, value in query.items())
    return connect(f"ws://127.0.0.1:{server.port}/rooms/{room}/?{pairs}")


def events(socket: ClientConnection, kind: str) -> Iterator[dict[str, Any]]:
    """The events of one kind, as they come."""
    while True:
        for event in json.loads(socket.recv(timeout=20)):
            if event["kind"] == kind:
                yield event


def wait_for_texts(socket: ClientConnection, wanted: set[str]) -> dict[int, str]:
    """What was said until all ``wanted`` texts came, by id."""
    said: dict[int, str] = {}
    for event in events(socket, "message"):
        said[event["id"]] = event["text"]
        if wanted <= set(said.values()):
            return said
    raise AssertionError("a socket never runs out of events")


def test_many_who_talk_while_others_join_lose_nothing(server):
    # Given 20 people of whom each says 5 things, the first ones while the last ones still enter:
    # no more in all than a page catches up with, so that the last to enter miss nothing either
    people, lines = 20, 5
    assert people * lines <= CATCH_UP
    everything = {f"{person}: {line}" for person in range(people) for line in range(lines)}
    seen: list[dict[int, str]] = []

    def talk(person: int) -> None:
        with enter(server, "crowd", name=person) as socket:
            for line in range(lines):
                socket.send(f"{person}: {line}")
            seen.append(wait_for_texts(socket, everything))

    threads = [threading.Thread(target=talk, args=(person,)) for person in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Then everybody saw everything, each line once
    assert len(seen) == people
    assert all(said == seen[0] for said in seen)
    assert len(seen[0]) == people * lines
    assert "Traceback" not in server.output()


def test_who_comes_back_gets_what_was_said_after_the_id_that_they_name(server):
    with enter(server, "den", name="Ada") as ada:
        for text in ("one", "two", "three"):
            ada.send(text)
        said = wait_for_texts(ada, {"one", "two", "three"})

    ids = sorted(said)
    with enter(server, "den", name="Ada", after=ids[0]) as ada:
        missed = events(ada, "message")
        assert [next(missed)["id"], next(missed)["id"]] == ids[1:]


@pytest.mark.parametrize("after", ["-1", "x", "9" * 5000, "%FF", "%D9%A3", ""])
def test_an_id_that_makes_no_sense_is_none(server, after):
    with enter(server, "hall", name="Eve", after=after) as socket:
        assert next(events(socket, "joined"))["name"] == "Eve"


def test_names_and_texts_are_held_to_their_lengths(server):
    with enter(server, "attic", name="n" * 41) as socket:
        assert next(events(socket, "joined"))["name"] == "n" * 40
        for text in ("", " \n", "x" * 2001, b"bytes"):
            socket.send(text)
        socket.send("x" * 2000)
        assert wait_for_texts(socket, {"x" * 2000}).popitem()[1] == "x" * 2000


def test_a_room_of_a_longer_name_than_rooms_have_is_nowhere(server):
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{server.url}rooms/{'r' * 51}/?name=Ada")
    with enter(server, "r" * 50, name="Ada") as socket:
        assert next(events(socket, "joined"))


def test_a_name_is_data_wherever_a_page_shows_it(server):
    name = "%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E%22"

    with urlopen(f"{server.url}rooms/lobby/?name={name}") as response:
        page = response.read().decode()

    assert "alert(1)" in page
    assert "<script>alert" not in page
