"""The memory of a segment: taken as needed, bounded, given back."""

import os
import subprocess
import sys

import pytest

from channels.exceptions import GroupMemoryFull
from channels.layers.conformance.kit import Background
from tests.layers.ipc.segments import made_layer, needs_extension
from tests.waiting import wait_until

pytestmark = needs_extension

MIB = 1024 * 1024


def granted(layer, part="message"):
    return layer._segment.describe()[f"{part}_memory_granted"]


def used(layer, part="message"):
    return layer._segment.describe()[f"{part}_memory_used"]


def on_disk(layer):
    """Bytes that the system has really taken for the segment."""
    return os.stat(layer._segment.path).st_blocks * 512


def test_a_new_segment_takes_little():
    with made_layer() as layer:
        assert on_disk(layer) < 4 * MIB
        assert os.stat(layer._segment.path).st_size > 120 * MIB


def test_memory_is_taken_for_messages_and_given_back():
    with made_layer(capacity=1000) as layer:
        empty = on_disk(layer)
        for number in range(200):
            layer.send("one", {"n": number, "text": "x" * 200_000})
        assert on_disk(layer) > 38 * MIB
        assert granted(layer) > 38 * MIB
        for number in range(200):
            _, message = layer.receive(["one"])
            assert (message["n"], len(message["text"])) == (number, 200_000)
        assert granted(layer) <= 2 * MIB
        assert on_disk(layer) <= empty + 3 * MIB


def test_full_message_memory_is_channel_full_and_counted():
    with made_layer(capacity=1000, message_memory=2 * MIB) as layer:
        sent = 0
        with pytest.raises(layer.ChannelFull, match="message_memory"):
            while True:
                layer.send(f"channel.{sent}", {"text": "x" * 100_000})
                sent += 1
        assert 15 <= sent <= 21
        assert layer.global_statistics()["channel_full_count"] == 1
        assert layer._segment.check() is None
        assert layer.receive(["channel.0"])[0] == "channel.0"
        layer.send("another", {"text": "x" * 90_000})


def test_a_message_larger_than_the_memory_is_channel_full():
    with made_layer(message_memory=MIB) as layer:
        with pytest.raises(layer.ChannelFull, match="message_memory"):
            layer.send("one", {"text": "x" * 2 * MIB})
        layer.send("one", {"text": "x" * (MIB // 2)})
        assert layer.receive(["one"])[0] == "one"


def test_who_waits_for_memory_is_woken_when_some_is_free():
    with made_layer(capacity=1000, message_memory=MIB) as layer:
        with pytest.raises(layer.ChannelFull):
            while True:
                layer.send("one", {"text": "x" * 100_000})
        waiting = Background(layer.wait_for_room, "two", 30)
        wait_until(lambda: layer._segment.describe()["senders_waiting"])
        layer.receive(["one"])
        assert waiting.result(10) is True
        layer.send("two", {"text": "x" * 90_000})


def test_group_members_without_memory_are_dropped_and_counted():
    with made_layer(capacity=1000, message_memory=MIB) as layer:
        layer.group_add("all", "serv!a")
        layer.group_add("all", "serv!b")
        with pytest.raises(layer.ChannelFull):
            while True:
                layer.send("one", {"text": "x" * 100_000})
        layer.send_group("all", {"text": "x" * 200_000})
        assert layer.drops == 2
        assert layer.receive(["serv!"]) == (None, None)


def test_full_group_memory_is_an_error_of_its_own_and_mends():
    with made_layer(group_memory=MIB) as layer:
        members = 0
        with pytest.raises(GroupMemoryFull, match="raise group_memory"):
            while True:
                layer.group_add("all", f"serv!{members:032}")
                members += 1
        assert members > 5000
        assert layer._segment.check() is None
        assert len(layer.group_channels("all")) == members
        layer.send("one", {})
        layer.group_discard("all", f"serv!{0:032}")
        layer.group_add("all", f"serv!{members:032}")
        for member in range(1, members + 1):
            layer.group_discard("all", f"serv!{member:032}")
        assert used(layer, "group") == 0
        assert granted(layer, "group") <= MIB


def test_a_group_message_is_stored_once():
    with made_layer() as layer:
        for process in range(50):
            layer.group_add("all", f"serv.{process}!a")
        before = used(layer)
        layer.send_group("all", {"text": "x" * 100_000})
        assert used(layer) - before < 100_000 + 50 * 1024
        for process in range(50):
            _, message = layer.receive([f"serv.{process}!"])
            assert message == {"text": "x" * 100_000}
        assert used(layer) - before < 50 * 1024


def test_one_process_channel_cannot_have_all_memory():
    with made_layer(capacity=1_000_000, message_memory=4 * MIB) as layer:
        with pytest.raises(layer.ChannelFull, match="capacity"):
            while True:
                layer.send("serv!a", {"text": "x" * 50_000})
        assert layer._segment.describe()["message_memory_used"] < 3 * MIB
        layer.send("other!a", {"text": "x" * MIB})


def test_names_made_for_one_use_are_forgotten():
    with made_layer() as layer:
        for number in range(5000):
            layer.send(f"body?{number}", {})
            layer.receive([f"body?{number}"])
        assert used(layer) <= 1100 * 512
        assert layer.channel_statistics("body?4999")["messages_count"] == 1
        assert layer.channel_statistics("body?0")["messages_count"] == 0
        assert layer.global_statistics()["messages_count"] == 5000


def test_counts_of_idle_channels_make_way_for_messages():
    with made_layer(message_memory=MIB, capacity=1000) as layer:
        for number in range(3000):
            layer.send(f"channel.{number}", {})
            layer.receive([f"channel.{number}"])
        layer.send("one", {"text": "x" * (MIB * 3 // 4)})
        assert layer.receive(["one"])[0] == "one"


SMALL = """
import resource, sys
from channels.layers.ipc import segments
segments.FOLDER = segments.Path(sys.argv[1])
from channels.exceptions import ChannelFull, SegmentRefused
from channels.layers.ipc import IPCChannelLayer
try:
    layer = IPCChannelLayer("small", capacity=10**6)
except SegmentRefused as error:
    sys.exit(f"refused: {error}")
sent = 0
try:
    while True:
        layer.send(f"channel.{sent % 5}", {"n": sent, "text": "x" * 50_000})
        sent += 1
except ChannelFull as error:
    print(error)
assert layer._segment.check() is None, layer._segment.check()
for number in range(sent):
    channel = f"channel.{number % 5}"
    assert layer.receive([channel]) == (channel, {"n": number, "text": "x" * 50_000})
    if number % 3 == 0:
        layer.send("again", {"text": "y" * 40_000})
print("sent", sent)
"""


@pytest.fixture
def small_folder(tmp_path):
    """A file system of so many MiB."""

    def mount(size):
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(tmp_path)],
            capture_output=True,
        )
        if mounted.returncode:
            pytest.skip("only root may mount a small /dev/shm")
        return tmp_path

    yield mount
    subprocess.run(["umount", str(tmp_path)], capture_output=True)


def test_a_full_dev_shm_is_channel_full(small_folder):
    """As in a container, where it has 64 MiB and nobody may write beyond."""
    folder = small_folder(8)
    done = subprocess.run(
        [sys.executable, "-c", SMALL, str(folder)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "or /dev/shm, is full" in done.stdout
    sent = int(done.stdout.split()[-1])
    assert 80 <= sent <= 160


def test_no_room_for_a_segment_at_all_is_refused_with_the_remedy(small_folder):
    folder = small_folder(1)
    (folder / "filled").write_bytes(bytes(900 * 1024))
    done = subprocess.run(
        [sys.executable, "-c", SMALL, str(folder)], capture_output=True, text=True, timeout=100
    )
    assert "--shm-size" in done.stderr
