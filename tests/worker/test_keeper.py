"""Tests of the keeper with workers that are small scripts: what it does when, to the moment.

What it does with real workers is in ``tests.management.test_runworker_limits``.
"""

import errno
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from channels.worker import keeper
from channels.worker.keeper import Keeper
from channels.worker.limits import Limits
from tests.waiting import wait_until

#: What each script begins with: a worker that is ready, in slots that it fills by itself.
BEGINNING = """
import faulthandler, json, os, socket, struct, sys, threading, time
from pathlib import Path

line, table, stacks = json.loads(os.environ["CHANNELS_WORKER_KEEPER"])
line = socket.socket(fileno=line)
faulthandler.register(3, file=stacks, all_threads=True)

def note(slot, started, text=b"", further=0):
    head = struct.pack("=dQHH", started, 1, further, len(text))
    os.pwrite(table, head + text, slot * 512)

line.send(b"r")
Path(sys.argv[1], "ready").touch()
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that takes long takes little."""
    monkeypatch.setattr(keeper, "_MEMORY_INTERVAL", 0.02)


def kept(folder: Path, script: str, limits: Limits, when: str = "ready") -> int:
    """The exit code of a keeper of ``script``; it is told to stop once there is ``when``."""
    command = [sys.executable, "-S", "-c", BEGINNING + script, str(folder)]

    ended = threading.Event()

    def tell() -> None:
        wait_until(lambda: (folder / when).exists() or ended.is_set(), 20)
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=tell, daemon=True).start()
    try:
        return Keeper(command, limits, 2).run()
    finally:
        ended.set()


def test_a_consumer_that_took_long_leaves_its_process_the_time_to_end(tmp_path, monkeypatch):
    """It still sends what the consumer has left, and says goodbye."""
    monkeypatch.setattr(keeper, "_END_WITHIN", 2.0)
    script = """
note(0, time.monotonic(), b"slow")
line.recv(1)
time.sleep(2.5)
note(0, 0.0)
time.sleep(0.2)
Path(sys.argv[1], "sent").touch()
"""

    assert kept(tmp_path, script, Limits(max_memory=1 << 40)) == 0
    assert (tmp_path / "sent").exists()


@pytest.mark.parametrize("end", ["held = bytearray(40 << 20)", "line.send(b'l')"])
def test_the_keeper_sleeps_while_a_process_ends_whatever_it_holds(
    tmp_path, monkeypatch, caplog, end
):
    turns = []

    class Counting(selectors.DefaultSelector):
        def select(self, timeout=None):
            turns.append(timeout)
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Counting)
    script = f"""
note(0, time.monotonic(), b"leak")
line.recv(1)
{end}
time.sleep(0.5)
"""

    assert kept(tmp_path, script, Limits(max_memory=20 << 20)) == 0
    assert len(turns) < 100
    assert "is replaced" not in caplog.text


def test_a_successor_that_cannot_be_started_is_tried_again(tmp_path, monkeypatch, caplog):
    """And nothing is left open of the attempts."""
    popen, started = subprocess.Popen, 0
    before = len(os.listdir("/dev/fd"))

    def fail_twice(*args, **options):
        nonlocal started
        started += 1
        if started in (2, 3):
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return popen(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", fail_twice)
    script = """
if not Path(sys.argv[1], "first").exists():
    Path(sys.argv[1], "first").touch()
    os._exit(7)
Path(sys.argv[1], "second").touch()
line.recv(1)
"""

    assert kept(tmp_path, script, Limits(max_messages=9), when="second") == 0
    assert started == 4
    assert caplog.text.count("No process can be started") == 2
    assert len(os.listdir("/dev/fd")) == before


def test_a_first_worker_that_cannot_be_started_is_said(tmp_path, caplog):
    keeper = Keeper([str(tmp_path / "none")], Limits(max_messages=9))

    assert keeper.run() == 1
    assert re.search("Not started: .*No such file or directory", caplog.text)


def test_messages_in_hand_behind_one_that_is_lost_are_counted(tmp_path, caplog):
    script = """
if Path(sys.argv[1], "first").exists():
    Path(sys.argv[1], "second").touch()
    sys.exit(line.recv(1) != b"s")
Path(sys.argv[1], "first").touch()
note(0, time.monotonic(), b"crash", 5)
note(1, time.monotonic(), b"other", 2)
os._exit(7)
"""

    assert kept(tmp_path, script, Limits(max_messages=9), when="second") == 0
    assert "2 message(s) that it handled are lost: crash; other" in caplog.text
    assert "Up to 7 message(s) that it had in hand behind them" in caplog.text


def test_what_another_thread_begins_before_it_hears_of_the_end_is_finished(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(keeper, "_HEED_WITHIN", 3.0)
    script = """
if Path(sys.argv[1], "first").exists():
    Path(sys.argv[1], "second").touch()
    sys.exit(line.recv(1) != b"s")
Path(sys.argv[1], "first").touch()
note(0, time.monotonic(), b"hang")
line.recv(1)
note(1, time.monotonic(), b"other")
time.sleep(0.6)
note(1, 0.0)
Path(sys.argv[1], "other").touch()
time.sleep(60)
"""

    assert kept(tmp_path, script, Limits(consumer_timeout=0.2), when="second") in (0, 3)
    assert (tmp_path / "other").exists()
    assert "lost: hang" in caplog.text
