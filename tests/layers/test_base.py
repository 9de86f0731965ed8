"""The rules of all layers: arguments, extensions, drops, damaged entries, interruptions."""

import subprocess
import sys
import threading
from typing import Any

import pytest

from channels.exceptions import ChannelFull, InvalidStoredMessage, UnsupportedExtension
from channels.layers.base import BaseChannelLayer
from channels.layers.entries import Extensions, Received, Stored
from channels.layers.inmemory import ChannelLayer
from channels.layers.waiting import Listening, Waiter
from tests.reactor import in_reactor
from tests.waiting import wait_until


class Minimal(BaseChannelLayer):
    """As little as a layer can be: one queue, no extensions."""

    provides = ()

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.stored: list[Stored] = []

    def _push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        self.stored.append((queue, targets, body))
        return len(self.stored) <= self.capacity

    def _take_one(self, listening: Listening, waiter: Waiter | None = None) -> Stored | None:
        return self.stored.pop(0) if self.stored else None

    def _take(self, listening: Listening, limit: int, waiter: Waiter | None = None) -> list[Stored]:
        taken, self.stored = self.stored[:limit], self.stored[limit:]
        return taken

    def _room(self, queue: str, waiter: Waiter | None = None) -> bool:
        return True

    def _withdraw(self, waiter: Waiter) -> None:
        pass

    def _exists(self, channel: str) -> bool:
        return False

    def _queues(self) -> list[str]:
        return []

    def _generation(self, queue: str | None) -> str:
        return "1"


def test_a_layer_without_its_primitives_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        BaseChannelLayer()  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"expiry": 0}, "expiry must be a positive"),
        ({"group_expiry": -5}, "group_expiry must be a positive"),
        ({"capacity": 0}, "capacity must be an int"),
        ({"channel_capacity": {"a": 0}}, "channel_capacity"),
        ({"drop_rate": 1.5}, "drop_rate must be from 0 to 1"),
        ({"drop_rate": -0.1}, "drop_rate must be from 0 to 1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Minimal(**arguments)


def test_a_layer_without_extensions_says_so() -> None:
    layer = Minimal()
    assert layer.extensions == []
    assert not layer.supports_groups
    for call in (
        layer.flush,
        layer.global_statistics,
        lambda: layer.group_add("group", "channel"),
        lambda: layer.group_discard("group", "channel"),
        lambda: layer.group_channels("group"),
        lambda: layer.send_group("group", {}),
    ):
        with pytest.raises(UnsupportedExtension, match="Minimal does not have the extension"):
            call()
    with pytest.raises(UnsupportedExtension, match="chat needs the extension 'groups'.*Minimal"):
        layer.require_extensions(["groups"], "chat")
    assert layer.has_listener("anything")


def test_extensions_know_both_spellings_of_asyncio() -> None:
    extensions = Extensions(["groups", "asyncio"])
    assert "async" in extensions and "asyncio" in extensions and "groups" in extensions
    assert "flush" not in extensions
    ChannelLayer().require_extensions(["async", "groups"], "somebody")


def test_the_error_of_a_full_channel_names_channel_and_capacity() -> None:
    layer = Minimal(capacity=1)
    layer.send("chat!a", {})
    with pytest.raises(ChannelFull, match=r"'chat!' is at its capacity of 1"):
        layer.send("chat!b", {})


def test_bytes_that_are_no_message_are_dropped_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = Minimal()
    layer.send("chat", {"n": 1})
    good = layer.stored[0]
    bad = [("chat", (), b"\xc1"), ("chat!", ("a", "b"), b"")]
    layer.stored = [*bad, good]
    assert layer.receive(["chat"]) == ("chat", {"n": 1})
    assert layer.drops == 3
    layer.stored = [*bad, good]
    (delivery,) = in_reactor(layer.receive_deliveries_twisted, ["chat"])
    assert delivery.message == {"n": 1}
    assert layer.drops == 6
    assert "its bytes are invalid" in caplog.text


class Sealed(ChannelLayer):
    """Stores bodies that nobody can read without knowing where they were sent to."""

    def _encode(self, message: dict[str, Any], name: str) -> bytes:
        return f"{name}:".encode() + super()._encode(message, name)[::-1]

    def _decode(self, body: bytes, queue: str) -> dict[str, Any]:
        name, _, sealed = body.partition(b":")
        if name.decode() not in {queue, "group"}:
            raise InvalidStoredMessage("it was sealed for another channel")
        return super()._decode(sealed[::-1], queue)


def test_a_backend_may_seal_what_it_stores() -> None:
    layer = Sealed()
    layer.group_add("group", "chat!a")
    layer.send("chat!a", {"n": 1})
    layer.send_group("group", {"n": 2})
    moved = layer._take(layer._listening(["chat!"]), 10)
    for queue in ("chat!", "other!"):
        for _, targets, body in moved:
            layer._push(queue, targets, body)
    assert layer.receive(["chat!"]) == ("chat!a", {"n": 1})
    assert layer.receive(["chat!"], True) == ("chat!a", {"n": 2})
    (delivery,) = in_reactor(layer.receive_deliveries_twisted, ["other!"])
    assert delivery == ("other!", ("a",), {"n": 2})
    assert layer.drops == 1


def test_a_backend_may_prepare_lists_of_channels() -> None:
    class Packed(Listening):
        __slots__ = ()

    class Packing(ChannelLayer):
        listening_type = Packed

    listening = Packing()._listening(["a", "b"])
    assert type(listening) is Packed


def test_a_drop_rate_drops_its_share_and_counts_it() -> None:
    layer = ChannelLayer(capacity=1000, drop_rate=0.5)
    for _ in range(1000):
        layer.send("chat", {})
    pending = layer.channel_statistics("chat")["messages_pending"]
    assert 300 < pending < 700
    assert layer.drops == 1000 - pending


def test_a_drop_rate_of_one_drops_all_and_of_zero_nothing() -> None:
    dropping, keeping = ChannelLayer(drop_rate=1), ChannelLayer()
    for layer in (dropping, keeping):
        layer.group_add("group", "chat")
        layer.send("chat", {})
        layer.send_group("group", {})
    assert (dropping.drops, keeping.drops) == (2, 0)
    assert dropping.receive(["chat"]) == (None, None)
    assert keeping.receive(["chat"]) == ("chat", {})


def test_a_dropping_layer_still_refuses_bad_messages() -> None:
    with pytest.raises(TypeError):
        ChannelLayer(drop_rate=1).send("chat", {"value": object()})


def test_names_are_offered_as_applications_of_old_used_them() -> None:
    layer = ChannelLayer(capacity=3, channel_capacity={"big.*": 9})
    assert layer.valid_channel_name("a!b") and not layer.valid_channel_name("a!b", receive=True)
    assert layer.valid_channel_names(["a", "b!"], receive=True)
    assert not layer.valid_channel_names(["a", "b c"])
    assert layer.valid_group_name("group") and not layer.valid_group_name("group!")
    assert layer.non_local_name("a!b") == "a!"
    assert (layer.get_capacity("big.a!b"), layer.get_capacity("small")) == (9, 3)
    assert layer.channel_capacity == layer.compile_capacities({"big.*": 9})
    assert str(layer) == "channels.layers.inmemory.layer.ChannelLayer"


def test_names_may_come_in_any_iterable_but_a_str() -> None:
    layer = ChannelLayer()
    for channels in (["a", "b"], ("a", "b"), {"a", "b"}, {"a": 1, "b": 2}, iter(["a", "b"])):
        layer.send("b", {})
        assert layer.receive(channels) == ("b", {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="invalid channel name"):
        layer.receive(iter(["a", "b c"]))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a list"):
        layer.receive("a")


def test_lists_of_channels_are_remembered_within_bounds() -> None:
    layer = ChannelLayer()
    for number in range(2000):
        layer.receive([f"body?{number}"])
        layer.receive([f"body?{number}", "a"])
    assert len(layer._listenings) <= 256


def test_a_stale_interruption_is_not_felt_without_the_token() -> None:
    layer = ChannelLayer()
    layer.interrupt()
    layer.send("chat", {})
    assert layer.receive(["chat"], True) == ("chat", {})


def test_an_interrupt_does_not_take_the_lock() -> None:
    """As in a signal handler that runs while the very thread is inside the layer."""
    layer = ChannelLayer()
    received: list[Received] = []
    thread = threading.Thread(target=lambda: received.append(layer.receive(["chat"], True)))
    thread.start()
    wait_until(lambda: layer._blocked)
    with layer._section:
        layer.interrupt()
    thread.join(10)
    assert received == [(None, None)]
    assert not layer._blocked


@pytest.mark.parametrize("module", ["base", "inmemory", "conformance"])
def test_layers_load_neither_django_nor_twisted(module: str) -> None:
    """Also the modules that need Twisted choose no reactor before they are called."""
    code = (
        f"import sys, channels.layers.{module}\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'django', 'twisted'}, loaded\n"
        "import channels.layers.twisted\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
