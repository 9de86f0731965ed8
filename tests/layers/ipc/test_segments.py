"""Segments as files: who may use them, and what is refused or mended."""

import itertools
import mmap
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from channels.exceptions import LayerUnavailable, SegmentRefused
from channels.layers.ipc import IPCChannelLayer
from channels.layers.ipc.segments import path_of
from tests.layers.ipc.segments import fresh_prefix, made_layer, needs_extension, remove
from tests.waiting import wait_until

pytestmark = needs_extension

ROOT = Path(__file__).resolve().parents[3]

#: Where the header has its fields: magic, version, size of the mutex, C library, PID namespace.
VERSION, MUTEX_SIZE, LIBC, PID_NAMESPACE, TOTAL = 8, 12, 16, 48, 56


@pytest.fixture
def prefix():
    name = fresh_prefix()
    yield name
    remove(name)


def refused(prefix, reason):
    """A layer is refused, with the prefix and a reason."""
    with pytest.raises(SegmentRefused, match=reason) as failure:
        IPCChannelLayer(prefix)
    assert repr(prefix) in str(failure.value)
    return str(failure.value)


def overwrite(prefix, offset, data):
    with path_of(prefix).open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_shared_memory_is_for_its_owner_only(prefix):
    before = os.umask(0)
    try:
        layer = IPCChannelLayer(prefix)
    finally:
        os.umask(before)
    status = path_of(prefix).stat()
    assert status.st_mode & 0o777 == 0o600
    assert status.st_uid == os.geteuid()
    layer.close()


def test_a_segment_that_others_may_use_is_refused(prefix):
    IPCChannelLayer(prefix).close()
    path_of(prefix).chmod(0o660)
    refused(prefix, "others may use it")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_segment_of_another_user_is_refused(prefix):
    IPCChannelLayer(prefix).close()
    os.chown(path_of(prefix), 12345, 12345)
    refused(prefix, "belongs to another user")


def test_links_and_other_kinds_of_files_are_refused(prefix, tmp_path):
    target = tmp_path / "victim"
    target.write_bytes(b"precious")
    path_of(prefix).symlink_to(target)
    refused(prefix, "is no segment")
    path_of(prefix).unlink()
    path_of(prefix).symlink_to(tmp_path / "nowhere")
    refused(prefix, "is no segment")
    path_of(prefix).unlink()
    os.mkfifo(path_of(prefix), 0o600)
    refused(prefix, "is no segment")
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 100_000, 2_000_000])
def test_a_truncated_segment_is_refused(prefix, size):
    IPCChannelLayer(prefix).close()
    os.truncate(path_of(prefix), size)
    assert f"ipcsegment {prefix} --remove" in refused(prefix, "truncated")


@pytest.mark.parametrize(
    ("offset", "data", "reason"),
    [
        (0, b"whatever", "no segment of this layer"),
        (VERSION, struct.pack("I", 999), "another version of channels-batteries"),
        (MUTEX_SIZE, struct.pack("I", 48), "another C library"),
        (LIBC, b"musl", "another C library"),
        (PID_NAMESPACE, struct.pack("Q", 1), "another PID namespace"),
        (TOTAL, struct.pack("Q", 1 << 40), "no segment of this layer"),
    ],
)
def test_a_segment_of_another_kind_is_refused_with_the_remedy(prefix, offset, data, reason):
    IPCChannelLayer(prefix).close()
    overwrite(prefix, offset, data)
    assert f"manage.py ipcsegment {prefix} --remove" in refused(prefix, reason)


@pytest.mark.parametrize("seed", range(0, 300, 100))
def test_scribbles_give_errors_or_answers(seed):
    done = subprocess.run(
        [sys.executable, "-m", "tests.layers.ipc.scribbles", str(seed), "100"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_scribbles_give_errors_or_answers():
    test_scribbles_give_errors_or_answers(1_000_000)
    done = subprocess.run(
        [sys.executable, "-m", "tests.layers.ipc.scribbles", "2000000", "10000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_processes_that_start_at_once_make_one_segment(prefix):
    """Each sends to all the others; with more than one segment some would wait for ever."""
    number = 12
    begin, release = os.pipe()
    children = []
    for child in range(number):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(release)
                os.read(begin, 1)  # the end of the file is the start
                layer = IPCChannelLayer(prefix, capacity=number)
                for other in range(number):
                    layer.send(f"for.{other}", {"from": child})
                for _ in range(number):
                    assert layer.receive([f"for.{child}"], block=True, timeout=30)[0]
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    os.close(begin)
    os.close(release)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * number


def test_a_retired_segment_makes_way_though_it_kept_its_name(prefix):
    """Whoever removed it died between the mark and the removal: clients finish the work."""
    layer = IPCChannelLayer(prefix)
    layer.send("one", {})
    copy = path_of(prefix).with_name(path_of(prefix).name + "-kept")
    os.link(path_of(prefix), copy)
    try:
        IPCChannelLayer(prefix)._segment.retire()
        os.link(copy, path_of(prefix))
        layer.send("two", {"n": 2})
        assert IPCChannelLayer(prefix).receive(["one", "two"]) == ("two", {"n": 2})
    finally:
        copy.unlink()
    layer.close()


def test_a_segment_that_was_unlinked_is_left_by_all(prefix):
    """Those who wait notice it within a second, and take the others with them."""
    waiting, elsewhere = IPCChannelLayer(prefix), IPCChannelLayer(prefix)
    remove(prefix)

    def moved():
        waiting.receive(["nothing"], block=True, timeout=1.1)
        elsewhere.send("one", {})
        return path_of(prefix).exists()

    wait_until(moved)
    assert waiting.receive(["one"])[0] == "one"


def test_a_stopped_owner_of_the_lock_is_an_error_until_it_goes_on(prefix, monkeypatch):
    monkeypatch.setattr(IPCChannelLayer, "lock_timeout", 0.05)
    layer = IPCChannelLayer(prefix, capacity=1000)
    rounds = mmap.mmap(-1, 8)
    pid = os.fork()
    if pid == 0:
        for number in itertools.count(1):
            layer._segment.check()  # about half of the time with the lock in hand
            rounds[:] = number.to_bytes(8, "little")
            sum(range(20_000))
    try:
        stopped = stop_in_the_lock(layer, pid, rounds)
        assert "which took it last, is stopped" in str(stopped)
        assert prefix in str(stopped)
        with pytest.raises(LayerUnavailable):
            layer.receive(["one"])
        with pytest.raises(LayerUnavailable):
            layer.receive(["one"], block=True)
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: _sends(layer))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert layer.receive(["one"])[0] == "one"
    assert layer._segment.check() is None


def stop_in_the_lock(layer, pid, rounds):
    """Stop a process that is busy with the segment until it has the lock; the error of a send."""
    for _ in range(1000):
        done = rounds[:]
        wait_until(lambda before=done: rounds[:] != before)
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        try:
            layer.send("one", {})
        except LayerUnavailable as error:
            return error
        layer.receive(["one"])
        os.kill(pid, signal.SIGCONT)
    raise AssertionError("it was never stopped with the lock in hand")


def _sends(layer):
    try:
        layer.send("one", {})
    except LayerUnavailable:
        return False
    return True


def test_the_lock_of_a_killed_owner_is_taken_over():
    with made_layer() as layer:
        layer.send("one", {"n": 1})
        rounds = mmap.mmap(-1, 8)
        for _ in range(1000):
            pid = os.fork()
            if pid == 0:
                for number in itertools.count(1):
                    layer._segment.check()
                    rounds[:] = number.to_bytes(8, "little")
                    sum(range(20_000))
            try:
                done = rounds[:]
                wait_until(lambda before=done: rounds[:] != before)
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            if layer._segment.describe()["recoveries"]:
                break
        assert layer._segment.describe()["recoveries"]
        assert layer.receive(["one"]) == ("one", {"n": 1})
