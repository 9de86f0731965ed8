"""Tests of the options of ``rundelay``; its processes are in ``test_processes``."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from channels.asgi import channel_layers
from channels.delay.worker import Worker
from tests.loggers import put_back

#: Nothing here has two forms.
pytestmark = pytest.mark.compiled_only


@pytest.fixture
def made(layer, monkeypatch):
    """The servers that the command has made, none of which runs."""
    servers = []
    monkeypatch.setattr(layer.channel_layer, "is_local", False)
    monkeypatch.setattr(Worker, "run", lambda self: servers.append(self))
    with put_back("django.channels", "daphne.http_protocol", "daphne.server", "daphne.ws_protocol"):
        yield servers


def test_by_default_one_thread_sends_over_the_default_layer(made, layer):
    call_command("rundelay")

    (server,) = made
    assert server.channel_layer is layer
    assert server.signal_handlers
    assert len(server._senders) == 1


def test_options_are_those_of_the_server(made, layer):
    channel_layers.set("other", layer)
    try:
        call_command("rundelay", "--layer", "default", "--sleep", "3600", "--threads", "3")
    finally:
        channel_layers.set("other", None)

    (server,) = made
    assert [sender._longest for sender in server._senders] == [3600] * 3


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [("sleep", 0, "more than 0"), ("sleep", -1, "more than 0"), ("threads", 0, "1 or more")],
)
def test_options_that_cannot_work_are_refused(made, option, value, text):
    with pytest.raises(CommandError, match=f"--{option} must be {text}, not {value}"):
        call_command("rundelay", **{option: value})


def test_a_layer_that_is_not_configured_is_refused(made):
    with pytest.raises(CommandError, match="There is no channel layer 'other'"):
        call_command("rundelay", layer="other")


def test_the_layer_in_memory_is_refused(layer):
    with pytest.raises(CommandError, match="cannot span multiple processes"):
        call_command("rundelay")


@pytest.mark.parametrize("arguments", [{"database_sleep_duration": 0}, {"n_threads": 0}])
def test_arguments_of_the_server_are_checked(layer, arguments):
    with pytest.raises(ValueError, match="must be"):
        Worker(layer, **arguments)


def test_it_is_made_as_in_1x(layer):
    server = Worker(layer, False, 1)

    assert not server.signal_handlers
    assert not server.termed
    assert not server.in_job
