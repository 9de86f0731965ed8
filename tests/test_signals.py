"""What Django does around each consumer."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from channels import signals
from channels.signals import ConsumerSignal, consumer_finished, consumer_started

ROOT = Path(__file__).parents[1]


def printed(program: str) -> str:
    """What a fresh interpreter prints, which has a database of its own in memory."""
    lines = (
        "from django.conf import settings;"
        "settings.configure(DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3',"
        " 'NAME': ':memory:'}});"
    )
    command = [sys.executable, "-c", lines + program]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    ).stdout.strip()


@pytest.mark.parametrize("signal", [consumer_started, consumer_finished], ids=["before", "after"])
def test_old_connections_are_closed_around_a_consumer(
    signal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    connection = connections["default"]
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: asked.append(signal))
    signal.send(sender=object, environ={})
    assert asked == [signal]
    monkeypatch.undo()
    consumer_finished.send(sender=object)  # whatever was started


def test_connections_are_looked_at_from_the_first_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    connection = connections["default"]
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: asked.append(1))
    monkeypatch.setattr(signals, "_connected", False)
    signals.close_connections_if_any()
    assert not asked

    signals._note_connection(sender=type(connection), connection=connection)
    signals.close_connections_if_any()
    assert asked


def test_the_first_connection_of_a_process_is_noticed() -> None:
    program = (
        "import django; django.setup();"
        "from channels import signals;"
        "from django.db import connections; before = signals._connected;"
        "connections['default'].ensure_connection(); print(before, signals._connected)"
    )
    assert printed(program) == "False True"


def test_a_connection_from_before_the_import_counts() -> None:
    program = (
        "import django; django.setup();"
        "from django.db import connections; connections['default'].ensure_connection();"
        "from channels import signals; print(signals._connected)"
    )
    assert printed(program) == "True"


def test_a_signal_knows_whether_others_listen() -> None:
    def ours(**kwargs: Any) -> None: ...

    def theirs(**kwargs: Any) -> None: ...

    signal = ConsumerSignal()
    signal.connect_own(ours)
    assert signal.has_own_only
    signal.connect(theirs)
    assert not signal.has_own_only
    signal.disconnect(theirs)
    assert signal.has_own_only
    signal.disconnect(ours)
    assert not signal.has_own_only


def test_one_that_was_there_first_is_heard_too() -> None:
    def ours(**kwargs: Any) -> None: ...

    def theirs(**kwargs: Any) -> None: ...

    signal = ConsumerSignal()
    signal.connect(theirs)
    signal.connect_own(ours)
    assert not signal.has_own_only
