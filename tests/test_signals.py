"""What Django does around each consumer."""

from typing import Any

import pytest
from django.db import connections

from channels.signals import consumer_finished, consumer_started


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
