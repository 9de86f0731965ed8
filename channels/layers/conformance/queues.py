"""Conformance: names, order, kinds of channels, capacity, fairness, new channels."""

import re
import warnings
from typing import Any

from channels.layers.conformance.kit import Background, Kit, needs, refused

__all__ = ["QueueConformance"]

GOOD_NAMES = [
    "a",
    "a.b-c_D9",
    "a?",
    "a?b",
    "a?b.c-d_e",
    "...",
    "0",
    "a" * 200,
    "a" * 150 + "?" + "b" * 49,
]

BAD_NAMES: list[Any] = [
    *(
        "",
        "?",
        "!",
        "?a",
        "!a",
        "a b",
        "a\n",
        "\na",
        "a/b",
        "a:b",
        "a,b",
        "a*",
        "a{b}",
        "ä",
        "a\x00",
    ),
    *("a?b?c", "a!b!c", "a?b!c", "a!b?c", "a??", "١", "a?b\n", "a" * 201, "a" * 199 + "?b"),
    *(b"bytes", None, 1, 1.5, ["a"], ("a",), object()),
]

BAD_GROUPS: list[Any] = ["", "a?b", "a!", "a b", "a\n", "ä", "a" * 201, b"bytes", None, 1, ["a"]]


class QueueConformance(Kit):
    """ASGI spec, Channels and Messages; Capacity; Approximate Global Ordering."""

    def test_the_layer_has_the_extensions_that_are_tested(self) -> None:
        assert sorted(self.layer.extensions) == sorted(self.extensions)

    def test_good_names_carry_messages(self) -> None:
        for name in GOOD_NAMES:
            self.layer.send(name, {"to": name})
            assert self.layer.receive([name]) == (name, {"to": name})

    def test_names_of_200_characters_carry_messages(self) -> None:
        process = "p" * 100 + "!"
        local = process + "l" * 99
        self.layer.send(local, {"to": "local"})
        assert self.layer.receive([process]) == (local, {"to": "local"})
        self.layer.send("c" * 200, {})
        assert self.layer.receive(["c" * 200]) == ("c" * 200, {})

    @needs("groups")
    def test_names_of_200_characters_carry_messages_to_groups(self) -> None:
        process = "p" * 100 + "!"
        local = process + "l" * 99
        group = "g" * 200
        self.layer.group_add(group, local)
        self.layer.group_add(group, "c" * 200)
        assert set(self.layer.group_channels(group)) == {local, "c" * 200}
        self.layer.send_group(group, {})
        assert self.layer.receive([process]) == (local, {})
        assert self.layer.receive(["c" * 200]) == ("c" * 200, {})

    def test_bad_channel_names_are_type_errors(self) -> None:
        for name in BAD_NAMES:
            with refused(TypeError):
                self.layer.send(name, {})
            with refused(TypeError):
                self.layer.receive([name])
            with refused(TypeError):
                self.layer.receive(["good", name])
            with refused(TypeError):
                self.layer.group_add("group", name)
            with refused(TypeError):
                self.layer.group_discard("group", name)

    def test_bad_group_names_are_type_errors(self) -> None:
        for name in BAD_GROUPS:
            with refused(TypeError):
                self.layer.group_add(name, "channel")
            with refused(TypeError):
                self.layer.group_discard(name, "channel")
            with refused(TypeError):
                self.layer.group_channels(name)
            with refused(TypeError):
                self.layer.send_group(name, {})

    def test_a_receive_takes_a_list_of_names_without_local_parts(self) -> None:
        for channels in ("name", b"name", None, 5, ["process!local"]):
            with refused(TypeError):
                self.layer.receive(channels)  # type: ignore[arg-type]

    def test_an_empty_channel_gives_nothing_at_once(self) -> None:
        assert self.layer.receive(["nothing"]) == (None, None)
        assert self.layer.receive(["nothing", "more?nothing", "no!"], False) == (None, None)

    def test_no_channels_give_nothing(self) -> None:
        assert self.layer.receive([]) == (None, None)
        assert self.layer.receive([], block=True) == (None, None)

    def test_receive_many_is_a_deprecated_alias(self) -> None:
        self.layer.send("old", {"n": 1})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert self.layer.receive_many(["old"]) == ("old", {"n": 1})
        assert [warning.category for warning in caught] == [DeprecationWarning]

    def test_messages_keep_their_order(self) -> None:
        for channel, listened in (("o", "o"), ("o?r", "o?r"), ("o!l", "o!")):
            for number in range(5):
                self.layer.send(channel, {"n": number})
            received = self.everything(self.layer, [listened])
            assert {name for name, _ in received} == {channel}
            assert self.numbers(received, channel) == list(range(5))

    def test_a_message_is_received_once(self) -> None:
        client = self.other_client(self.layer)
        self.layer.send("once", {"n": 1})
        client.send("once", {"n": 2})
        received = [client.receive(["once"]), self.layer.receive(["once"])]
        assert sorted(message["n"] for _, message in received if message) == [1, 2]
        assert client.receive(["once"]) == self.layer.receive(["once"]) == (None, None)

    def test_a_process_channel_is_received_by_its_name_up_to_the_mark(self) -> None:
        sent = ["serv!one", "serv!two", "serv!one", "serv!three.x-y_z"]
        for order, channel in enumerate(sent):
            self.layer.send(channel, {"order": order})
        received = self.everything(self.layer, ["serv!"])
        assert received == [(channel, {"order": order}) for order, channel in enumerate(sent)]

    def test_process_channels_of_other_processes_are_others(self) -> None:
        self.layer.send("serv.a!one", {"to": "a"})
        assert self.layer.receive(["serv.b!", "serv!", "serv.a", "serv.a?one"]) == (None, None)
        assert self.layer.receive(["serv.b!", "serv.a!"]) == ("serv.a!one", {"to": "a"})

    def test_single_reader_channels_are_read_by_their_whole_name(self) -> None:
        self.layer.send("body?one", {"n": 1})
        assert self.layer.receive(["body?", "body?on", "body"]) == (None, None)
        assert self.layer.receive(["body?two", "body?one"]) == ("body?one", {"n": 1})

    def test_a_channel_at_its_capacity_is_full_until_something_is_received(self) -> None:
        layer = self.made(capacity=3)
        client = self.other_client(layer)
        for number in range(3):
            layer.send("full", {"n": number})
        for sender in (layer, client):
            with refused(layer.ChannelFull):
                sender.send("full", {})
        layer.send("other", {})
        assert client.receive(["full"]) == ("full", {"n": 0})
        layer.send("full", {"n": 3})
        with refused(layer.ChannelFull):
            layer.send("full", {})
        assert self.numbers(self.everything(layer, ["full"]), "full") == [1, 2, 3]

    def test_the_channels_of_a_process_share_their_capacity(self) -> None:
        layer = self.made(capacity=3)
        for local in ("one", "two", "three"):
            layer.send(f"shared!{local}", {})
        for local in ("one", "four"):
            with refused(layer.ChannelFull):
                layer.send(f"shared!{local}", {})
        layer.receive(["shared!"])
        layer.send("shared!four", {})

    def test_capacities_by_glob_and_pattern_and_the_first_that_matches_counts(self) -> None:
        capacities = {"small.*": 1, re.compile(r"(small|large)\..*"): 4, "small.?": 3}
        layer = self.made(capacity=2, channel_capacity=capacities)
        expected = [("small.x", 1), ("large.x", 4), ("tiny", 2), ("large.x!y", 4), ("small.q?z", 1)]
        for channel, capacity in expected:
            for _ in range(capacity):
                layer.send(channel, {})
            with refused(layer.ChannelFull):
                layer.send(channel, {})

    def test_a_quiet_channel_is_served_beside_busy_ones(self) -> None:
        for channels in (["busy", "quiet", "calm"], ["quiet", "busy"], ["a", "quiet", "b", "busy"]):
            self.layer.send("quiet", {})
            served = []
            while "quiet" not in served:
                self.layer.send("busy", {})
                served.append(self.layer.receive(channels)[0])
                assert len(served) <= 2 * len(channels), "a busy channel starves a quiet one"
            self.everything(self.layer, channels)

    def test_busy_channels_are_served_alike(self) -> None:
        channels = ["one", "two?x", "three!"]
        names = ["one", "two?x", "three!y"]
        for name in names:
            self.layer.send(name, {})
        served = []
        for _ in range(60):
            channel, _ = self.layer.receive(channels)
            assert channel is not None
            served.append(channel)
            self.layer.send(channel, {})
        assert min(served.count(name) for name in names) >= 10

    def test_thousands_of_channels_are_listened_to_at_once(self) -> None:
        channels = [f"many.{number}" for number in range(3000)]
        for channel in (channels[0], channels[1500], channels[-1]):
            self.layer.send(channel, {})
        received = [str(channel) for channel, _ in self.everything(self.layer, channels)]
        assert sorted(received) == sorted([channels[0], channels[1500], channels[-1]])
        blocked = Background(self.layer.receive, channels, True)
        self.layer.send(channels[2000], {"n": 1})
        assert blocked.result(self.patience) == (channels[2000], {"n": 1})

    def test_new_channels_are_valid_unique_and_usable(self) -> None:
        for pattern, listened in (("body.test?", None), ("proc.test!", "proc.test!")):
            name = self.layer.new_channel(pattern)
            assert name.startswith(pattern)
            assert len(name) > len(pattern) + 16
            assert self.layer.receive([listened or name]) == (None, None)
            self.layer.send(name, {"n": 1})
            assert self.layer.receive([listened or name]) == (name, {"n": 1})

    def test_new_channel_never_repeats_a_name(self) -> None:
        half = self.new_channel_names // 2
        client = self.other_client(self.layer)
        made = {self.layer.new_channel("a?") for _ in range(half)}
        made |= {client.new_channel("a!") for _ in range(half)}
        assert len(made) == 2 * half

    def test_new_channel_refuses_other_patterns(self) -> None:
        for pattern in (
            "",
            "a",
            "a?b",
            "a!b",
            "?",
            "!",
            "a?b?",
            "a b?",
            "ä!",
            b"a?",
            None,
            5,
            ["a?"],
        ):
            with refused(TypeError):
                self.layer.new_channel(pattern)  # type: ignore[arg-type]

    def test_channels_that_hold_messages_are_listed(self) -> None:
        for channel in ("one", "two?x", "three!y", "three!z", "gone"):
            self.layer.send(channel, {})
        self.layer.receive(["gone"])
        assert sorted(self.layer.channels()) == ["one", "three!", "two?x"]

    def test_who_listens_is_known_once_somebody_said_so(self) -> None:
        client = self.other_client(self.layer)
        assert self.layer.has_listener("http.disconnect")
        self.layer.announce_listening("worker-1", ["http.request", "http.disconnect"])
        self.layer.announce_listening("worker-2", ["http.request"])
        # a client may keep for a while what it learnt
        self.eventually(lambda: not client.has_listener("websocket.connect"))
        assert client.has_listener("http.disconnect")
        self.layer.announce_listening("worker-1", [])
        self.eventually(lambda: not client.has_listener("http.disconnect"))
        assert client.has_listener("http.request")
        self.layer.announce_listening("worker-2", [])
        self.eventually(lambda: client.has_listener("http.disconnect"))

    def test_an_announcement_may_be_the_first_thing_that_a_client_does(self) -> None:
        self.other_client(self.layer).announce_listening("worker", ["http.request"])
        client = self.other_client(self.layer)
        assert client.has_listener("http.request")
        self.eventually(lambda: not client.has_listener("http.disconnect"))
