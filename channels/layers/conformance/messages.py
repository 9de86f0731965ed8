"""Conformance: what a message may hold, what is refused, and that nobody shares one."""

import datetime
import decimal
import math
from typing import Any

from channels.layers.conformance.kit import Kit, needs, refused

__all__ = ["MessageConformance"]

MIB = 1024 * 1024


def _nested(depth: int) -> dict[str, Any]:
    message: dict[str, Any] = {"bottom": [b"", "", None]}
    for level in range(depth):
        message = {"level": level, "next": message} if level % 2 else {"next": [message]}
    return message


#: Values at the limits of each type of the reference; they arrive as they are.
VALUES: list[Any] = [
    *(0, 1, -1, 127, 128, -32, -33, 255, 256, 65535, 65536, 2**31, 2**32, 2**63 - 1),
    *(-(2**31), -(2**31) - 1, -(2**63)),
    *(0.0, 0.1, math.pi, 1.0, 5e-324, 1.7976931348623157e308, -1.7976931348623157e308),
    *(True, False, None, "", b"", [], {}, {"": ""}),
    *("\x00", "a\x00b", "\x7f", "é", "\u2028", "𝄞", "👩‍👩‍👧🏳️‍🌈", "\uffff", "é" * (MIB // 2)),
    *(bytes(range(256)), b"\x00\x00", b"\xff", b"text"),
    *("x" * size for size in (31, 32, 255, 256, 65535, 65536, MIB)),
    *(b"\x80" * size for size in (255, 256, 65535, 65536, MIB)),
    [1, "two", b"three", 4.0, None, True, {"five": [6]}],
    [b"GET", [[b"host", b"example.com"], [b"x", b"\xe9"]]],
    list(range(20)),
    {f"key {number}": number for number in range(70_000)},
    _nested(60),
]

#: What is no message, or holds what no message may hold.
BAD_MESSAGES: list[Any] = [
    *(None, "text", b"bytes", 1, [], [("a", 1)], (), object()),
    *({"value": bad} for bad in (2**63, -(2**63) - 1, 10**40, object(), {1}, 1j)),
    *({"value": bad} for bad in (datetime.datetime(2026, 1, 1), decimal.Decimal(1), print)),
    *({"deep": [{"value": bad}]} for bad in ({1: "a"}, {b"a": 1}, {None: 1}, [object()])),
    *({key: 1} for key in (1, b"bytes", None, ("a",))),
]


class MessageConformance(Kit):
    """ASGI spec, Channels and Messages; Strings and Unicode."""

    def test_every_type_arrives_as_it_was_sent(self) -> None:
        for value in VALUES:
            self.layer.send("types", {"value": value})
            channel, message = self.layer.receive(["types"])
            assert channel == "types"
            assert message is not None
            assert message["value"] == value, f"{str(value)[:60]!r} was changed"
            assert type(message["value"]) is type(value)

    def test_tuples_arrive_as_lists(self) -> None:
        self.layer.send("types", {"value": (1, (2, ()), {"three": (3,)})})
        assert self.layer.receive(["types"]) == (
            "types",
            {"value": [1, [2, []], {"three": [3]}]},
        )

    def test_the_sign_of_zero_and_the_difference_of_int_float_and_bool_are_kept(self) -> None:
        self.layer.send("types", {"values": [-0.0, 1, 1.0, True]})
        _, message = self.layer.receive(["types"])
        assert message is not None
        zero, *ones = message["values"]
        assert math.copysign(1, zero) == -1
        assert [type(one) for one in ones] == [int, float, bool]

    def test_an_empty_message_is_a_message(self) -> None:
        self.layer.send("types", {})
        assert self.layer.receive(["types"]) == ("types", {})

    def test_a_message_of_1_mib_with_its_keys_fits_everywhere(self) -> None:
        message = {"bytes": b"\xff" * MIB, "text": None, "path": "/", "order": 1}
        for channel in ("big", "big?reader", "big!local"):
            self.layer.send(channel, message)
        received = self.everything(self.layer, ["big", "big?reader", "big!"])
        assert sorted(str(channel) for channel, _ in received) == ["big", "big!local", "big?reader"]
        assert all(content == message for _, content in received)

    @needs("groups")
    def test_a_message_of_1_mib_with_its_keys_fits_into_groups(self) -> None:
        message = {"bytes": b"\xff" * MIB, "text": None, "path": "/", "order": 1}
        self.layer.group_add("everybody", "big!member")
        self.layer.send_group("everybody", message)
        assert self.everything(self.layer, ["big!"]) == [("big!member", message)]

    def test_a_message_over_the_limit_is_refused(self) -> None:
        with refused(self.layer.MessageTooLarge):
            self.layer.send("big", {"bytes": bytes(80 * MIB)})
        assert self.layer.receive(["big"]) == (None, None)

    @needs("groups")
    def test_a_message_over_the_limit_is_refused_to_groups(self) -> None:
        self.layer.group_add("everybody", "big")
        with refused(self.layer.MessageTooLarge):
            self.layer.send_group("everybody", {"bytes": bytes(80 * MIB)})
        assert self.layer.receive(["big"]) == (None, None)

    def test_what_is_no_message_is_refused_and_leaves_nothing(self) -> None:
        for message in BAD_MESSAGES:
            with refused(TypeError):
                self.layer.send("bad", message)
        assert self.layer.receive(["bad"]) == (None, None)

    @needs("groups")
    def test_what_is_no_message_is_refused_to_groups_and_leaves_nothing(self) -> None:
        self.layer.group_add("everybody", "bad")
        for message in BAD_MESSAGES:
            with refused(TypeError):
                self.layer.send_group("everybody", message)
        assert self.layer.receive(["bad"]) == (None, None)

    def test_the_reserved_key_is_refused(self) -> None:
        with refused(ValueError, TypeError):
            self.layer.send("bad", {"__asgi_channel__": "other"})
        assert self.layer.receive(["bad", "other"]) == (None, None)

    def test_changes_by_the_sender_after_sending_stay_with_the_sender(self) -> None:
        message: dict[str, Any] = {"list": [1], "dict": {"a": [2]}}
        self.layer.send("isolated", message)
        message["list"].append("late")
        message["dict"]["a"].clear()
        message["new"] = True
        assert self.layer.receive(["isolated"]) == ("isolated", {"list": [1], "dict": {"a": [2]}})

    @needs("groups")
    def test_changes_by_one_receiver_do_not_reach_another(self) -> None:
        members = ["isolated!one", "isolated!two", "isolated", "isolated?three"]
        for member in members:
            self.layer.group_add("everybody", member)
        self.layer.send_group("everybody", {"list": [1]})
        for _ in members:
            _, message = self.receives(self.layer, ["isolated!", "isolated", "isolated?three"])
            assert message == {"list": [1]}
            assert message is not None
            message["list"].append("changed")
