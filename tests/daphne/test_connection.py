"""A connection: it applies operations and reports inputs, whatever the core makes of them."""

import contextlib
import socket

import pytest

from channels.exceptions import ChannelFull
from channels.layers.inmemory import ChannelLayer
from daphne.protocol.core import NAME_LENGTH, Core
from daphne.protocol.operations import (
    Abort,
    AwaitRoom,
    Close,
    Log,
    NewChannel,
    PauseReading,
    ResumeReading,
    Send,
    Timer,
    Upgrade,
    Write,
)
from tests.daphne.cores import Script, ScriptedCore
from tests.reactor import in_reactor
from tests.waiting import wait_until


def emits(*operations):
    """An action that emits the same operations for every input."""

    def action(core: Core, *args: object) -> None:
        for operation in operations:
            core.emit(operation)

    return action


def echo(core: Core, data: bytes) -> None:
    core.emit(Write(data))


def read_all(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(65536):
        received += data
    return received


def the_core(script: Script) -> ScriptedCore:
    wait_until(lambda: script.cores)
    return script.cores[0]


def test_bytes_go_in_and_come_out(shell):
    client = shell(Script(receive_data=echo)).connect()
    client.sendall(b"hello")
    assert client.recv(100) == b"hello"


def test_a_core_hears_of_its_connection_before_any_byte(shell):
    script = Script()
    client = shell(script).connect()
    client.sendall(b"x")
    wait_until(lambda: the_core(script).names() == ["connection_made", "receive_data"])


def test_the_context_names_both_ends(shell):
    script = Script()
    one = shell(script)
    client = one.connect()
    context = the_core(script).context
    assert context.client == client.getsockname()
    assert context.server == client.getpeername()
    assert context.secure is False
    assert context.trusted_peer is True  # loopback is, by default
    assert context.reply_prefix == one.channel


def test_writes_of_one_input_arrive_in_order(shell):
    pieces = [Write(b"a"), Write(b""), Write(b"b"), Write(b"c" * 1000)]
    client = shell(Script(receive_data=emits(*pieces, Close()))).connect()
    client.sendall(b"x")
    assert read_all(client) == b"ab" + b"c" * 1000


def test_close_flushes_what_does_not_fit_the_kernel(shell):
    data = bytes(range(256)) * 40_000
    client = shell(Script(receive_data=emits(Write(data), Close()))).connect(262_144)
    client.sendall(b"x")
    assert read_all(client) == data


def test_a_client_that_still_sends_when_closed_gets_the_last_bytes(shell):
    """Closing with unread input would reset the connection and take the answer with it."""
    client = shell(Script(receive_data=emits(PauseReading(), Write(b"no"), Close()))).connect()
    client.sendall(b"x" * 10_000)
    wait_until(lambda: client.recv(2, socket.MSG_PEEK) == b"no")
    for _ in range(20):
        client.sendall(b"x" * 10_000)
    assert read_all(client) == b"no"


def test_after_close_the_core_hears_only_of_the_end(shell):
    script = Script(receive_data=emits(Close()))
    client = shell(script).connect()
    client.sendall(b"x")
    assert client.recv(1) == b""
    client.sendall(b"more")
    client.close()
    core = the_core(script)
    wait_until(lambda: "connection_lost" in core.names())
    assert core.names() == ["connection_made", "receive_data", "connection_lost"]


def test_a_closed_client_that_stays_is_dropped_after_a_while(shell):
    one = shell(Script(receive_data=emits(Close())))
    client = one.connect()
    client.sendall(b"x")
    assert client.recv(1) == b""
    wait_until(lambda: len(one.factory) == 0)


def test_a_closed_client_that_reads_nothing_is_dropped(shell):
    one = shell(Script(receive_data=emits(Write(b"x" * 20_000_000), Close())), write_timeout=0.05)
    client = one.connect(4096)
    client.sendall(b"x")
    wait_until(lambda: len(one.factory) == 0)


def test_abort_drops_the_connection(shell):
    script = Script(receive_data=emits(Abort()))
    client = shell(script).connect()
    client.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    wait_until(lambda: "connection_lost" in the_core(script).names())


def test_an_end_of_input_is_not_the_end_of_the_connection(shell):
    client = shell(Script(receive_eof=emits(Write(b"bye"), Close()))).connect()
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"bye"


def test_paused_reading_stops_the_client(shell, layer):
    script = Script(connection_made=emits(PauseReading()))
    one = shell(script)
    client = one.connect()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            client.send(b"x" * 65536)
    assert "receive_data" not in the_core(script).names()
    script.actions["deliver"] = emits(ResumeReading())
    layer.send(one.channel + the_core(script).context.name, {})
    wait_until(lambda: "receive_data" in the_core(script).names())


def test_a_slow_reader_pauses_and_resumes_the_core(shell):
    data = b"x" * 5_000_000
    script = Script(receive_data=emits(Write(data)))
    client = shell(script).connect(4096)
    client.sendall(b"x")
    core = the_core(script)
    wait_until(lambda: "pause_writing" in core.names())
    assert core.drained_bytes < len(data)
    received = 0
    while received < len(data):
        received += len(client.recv(65536))
    wait_until(lambda: "resume_writing" in core.names())
    assert core.drained_bytes == len(data)


def test_every_byte_is_reported_as_drained_once(shell):
    script = Script(receive_data=echo)
    client = shell(script).connect()
    for size in (1, 100, 60_000):
        client.sendall(b"x" * size)
        received = 0
        while received < size:
            received += len(client.recv(65536))
    wait_until(lambda: the_core(script).drained_bytes == 60_101)


def test_a_timer_fires_once(shell):
    def arm(core: Core) -> None:
        core.emit(Timer("soon", core.context.clock() + 0.01))

    script = Script(connection_made=arm, timer=emits(Write(b"tick")))
    client = shell(script).connect()
    assert client.recv(4) == b"tick"
    assert the_core(script).heard[1:] == [("timer", "soon")]


def test_a_cancelled_timer_does_not_fire(shell):
    def arm(core: Core) -> None:
        core.emit(Timer("never", core.context.clock() + 0.01))
        core.emit(Timer("never", None))
        core.emit(Timer("then", core.context.clock() + 0.05))

    script = Script(connection_made=arm, timer=emits(Write(b"tick")))
    client = shell(script).connect()
    client.recv(4)
    assert the_core(script).heard[1:] == [("timer", "then")]


@pytest.mark.parametrize("rest", ["", "1"])
def test_a_message_reaches_the_core_with_whose_name_its_local_part_begins(shell, layer, rest):
    script = Script(deliver=emits(Write(b"got it")))
    one = shell(script)
    client, _ = one.connect(), one.connect()
    wait_until(lambda: len(one.dispatch) == 2)
    local = the_core(script).context.name + rest
    layer.send(one.channel + "1", {"text": "lost"})
    layer.send(one.channel + local, {"text": "hi"})
    assert client.recv(100) == b"got it"
    assert the_core(script).heard[1][:3] == ("deliver", local, {"text": "hi"})
    assert script.cores[1].names() == ["connection_made"]


def test_no_two_connections_have_the_same_name(shell):
    script = Script()
    one = shell(script)
    clients = [one.connect() for _ in range(50)]
    wait_until(lambda: len(script.cores) == len(clients))
    names = {core.context.name for core in script.cores}
    assert len(names) == len(clients) and {len(name) for name in names} == {NAME_LENGTH}


def test_registrations_end_with_the_connection(shell):
    one = shell(Script())
    client = one.connect()
    wait_until(lambda: len(one.dispatch) == 1)
    client.close()
    wait_until(lambda: "receive_eof" in one.script.cores[0].names())
    in_reactor(one.factory.abort)
    wait_until(lambda: len(one.dispatch) == 0)


def test_a_send_that_is_to_be_confirmed_is(shell, layer):
    script = Script(
        receive_data=emits(Send("a.channel", {"n": 1}, key=7, confirmed=True)),
        sent=emits(Write(b"sent")),
    )
    client = shell(script).connect()
    client.sendall(b"x")
    assert client.recv(10) == b"sent"
    assert ("sent", 7) in the_core(script).heard
    assert layer.receive(["a.channel"]) == ("a.channel", {"n": 1})


def test_success_is_not_reported_where_nobody_asked_for_that(shell, layer):
    script = Script(receive_data=emits(Send("a.channel", {"n": 1}, key=7), Write(b"done")))
    client = shell(script).connect()
    client.sendall(b"x")
    assert client.recv(10) == b"done"
    assert layer.receive(["a.channel"]) == ("a.channel", {"n": 1})
    assert the_core(script).names() == ["connection_made", "receive_data"]


def test_a_thousand_sends_each_caused_by_the_last_do_not_nest(shell):
    layer = ChannelLayer(capacity=2000)

    def again(core: Core, key: object) -> None:
        send = Send("a", {}, key=key + 1, confirmed=True)
        core.emit(send if key < 1000 else Write(b"done"))

    script = Script(receive_data=emits(Send("a", {}, key=1, confirmed=True)), sent=again)
    client = shell(script, layer=layer).connect()
    client.sendall(b"x")
    assert client.recv(10) == b"done"


def test_a_full_channel_is_reported(shell, layer):
    script = Script(
        receive_data=emits(*[Send("a", {}, key=n) for n in range(layer.capacity + 1)]),
        send_failed=emits(Write(b"full")),
    )
    client = shell(script).connect()
    client.sendall(b"x")
    assert client.recv(10) == b"full"
    name, key, error = the_core(script).heard[-1]
    assert (name, key) == ("send_failed", layer.capacity)
    assert isinstance(error, ChannelFull)


def test_nobody_hears_of_a_full_channel_without_a_key(shell, layer, caplog):
    script = Script(
        receive_data=emits(*[Send("a", {}) for _ in range(layer.capacity + 1)], Write(b"done"))
    )
    client = shell(script).connect()
    client.sendall(b"x")
    assert client.recv(10) == b"done"
    assert the_core(script).names() == ["connection_made", "receive_data"]
    assert caplog.text == ""


def test_a_bad_message_without_a_key_is_logged(shell, caplog):
    script = Script(receive_data=emits(Send("a", {"x": object()}), Write(b"done")))
    client = shell(script).connect()
    client.sendall(b"x")
    assert client.recv(10) == b"done"
    assert "'a'" in caplog.text and "TypeError" in caplog.text


def test_room_is_waited_for(shell, layer):
    for _ in range(layer.capacity):
        layer.send("a", {})
    script = Script(
        receive_data=emits(AwaitRoom("a", key=1), Write(b"ok")), room=emits(Write(b"!"))
    )
    client = shell(script).connect()
    client.sendall(b"x")
    assert client.recv(2) == b"ok"
    assert "room" not in the_core(script).names()
    layer.receive(["a"])
    assert client.recv(1) == b"!"


def test_channel_names_are_made(shell):
    def made(core: Core, key: object, name: str) -> None:
        core.emit(Write(name.encode()))

    script = Script(receive_data=emits(NewChannel("body?", key=1)), channel_made=made)
    client = shell(script).connect()
    client.sendall(b"x")
    name = client.recv(100)
    assert name.startswith(b"body?") and len(name) > 10


def test_logs_reach_the_action_logger(shell):
    one = shell(Script(receive_data=emits(Log("http", "complete", {"a": 1}), Write(b"x"))))
    client = one.connect()
    client.sendall(b"x")
    client.recv(1)
    assert one.logged == [("http", "complete", {"a": 1})]


def test_an_action_logger_that_raises_costs_a_log_line(shell, caplog):
    one = shell(Script(receive_data=emits(Log("a", "b", {}), Write(b"x"))))
    one.factory._action_loggers = (lambda *args: 1 / 0,)
    client = one.connect()
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    assert "action logger failed" in caplog.text


def test_an_upgrade_puts_another_core_in_place(shell, layer):
    second = Script(receive_data=lambda core, data: core.emit(Write(data.upper())))

    def upgrade(core: Core, data: bytes) -> None:
        core.emit(Write(b"first "))
        core.emit(Timer("old", core.context.clock()))
        core.emit(Upgrade(second(core.context), b"rest "))

    first = Script(receive_data=upgrade)
    one = shell(first)
    client = one.connect()
    client.sendall(b"x")
    received = b""
    while len(received) < 11:
        received += client.recv(100)
    assert received == b"first REST "
    client.sendall(b"later")
    assert client.recv(100) == b"LATER"
    assert first.cores[0].names() == ["connection_made", "receive_data"]
    assert second.cores[0].names() == ["connection_made", "receive_data", "receive_data"]
    layer.send(one.channel + first.cores[0].context.name, {"text": "hi"})
    wait_until(lambda: second.cores[0].names()[3:] == ["deliver"])


def test_a_core_put_in_place_hears_that_the_client_will_send_nothing_more(shell):
    second = Script(receive_eof=lambda core: core.emit(Close()))
    first = Script(deliver=lambda core, *_: core.emit(Upgrade(second(core.context), b"rest")))
    one = shell(first)
    client = one.connect()
    client.shutdown(socket.SHUT_WR)
    wait_until(lambda: first.cores and "receive_eof" in first.cores[0].names())
    in_reactor(one.only.deliver, "me", {}, {})
    assert client.recv(1) == b""
    assert second.cores[0].names()[:3] == ["connection_made", "receive_data", "receive_eof"]


def test_answers_to_a_replaced_core_are_dropped(shell, layer):
    for _ in range(layer.capacity):
        layer.send("a", {})
    second = Script(receive_data=echo)

    def upgrade(core: Core, data: bytes) -> None:
        core.emit(AwaitRoom("a", key=1))
        core.emit(Upgrade(second(core.context)))

    client = shell(Script(receive_data=upgrade)).connect()
    client.sendall(b"x")
    wait_until(lambda: second.cores and second.cores[0].heard)
    layer.receive(["a"])
    client.sendall(b"y")
    assert client.recv(1) == b"y"
    assert "room" not in second.cores[0].names()


@pytest.mark.parametrize(
    "name", ["connection_made", "receive_data", "receive_eof", "timer", "deliver", "sent"]
)
def test_a_core_that_raises_loses_its_connection_and_no_other(shell, layer, caplog, name):
    def fail(core: Core, *args: object) -> None:
        if core.script.cores[0] is core:
            raise RuntimeError("a defect")

    script = Script(connection_made=None, receive_data=echo)
    actions = {
        "timer": {"receive_data": lambda core, data: core.emit(Timer("t", core.context.clock()))},
        "sent": {"receive_data": emits(Send("a", {}, key=1, confirmed=True), Write(b"y"))},
    }
    script.actions = {"receive_data": echo} | actions.get(name, {}) | {name: fail}
    one = shell(script)
    with contextlib.suppress(ConnectionResetError):  # dropped before connect() has returned
        client = one.connect()
    if name == "deliver":
        wait_until(lambda: len(one.dispatch) == 1)
        layer.send(one.channel + the_core(script).context.name, {})
    elif name == "receive_eof":
        client.shutdown(socket.SHUT_WR)
    elif name != "connection_made":
        client.sendall(b"x")
    wait_until(lambda: "connection_lost" in the_core(script).names())
    assert "a defect" in caplog.text

    script.actions["receive_data"] = echo
    other = one.connect()
    other.sendall(b"still here")
    assert other.recv(100) == b"still here"


def test_a_core_that_raises_at_its_end_is_logged(shell, caplog):
    one = shell(Script(receive_data=emits(Abort()), connection_lost=lambda core: 1 / 0))
    one.connect().sendall(b"x")
    wait_until(lambda: len(one.factory) == 0 and "ZeroDivisionError" in caplog.text)


def test_sends_are_served_after_the_connection_is_gone(shell, layer):
    script = Script(
        receive_eof=emits(Abort()),
        connection_lost=emits(
            Send("gone", {"n": 1}, key=1, confirmed=True), Write(b"nobody reads this")
        ),
        sent=emits(Send("gone", {"n": 2})),
    )
    shell(script).connect().close()
    wait_until(lambda: layer.channel_statistics("gone")["messages_count"] == 2)


def test_a_client_that_left_is_found_out_by_what_is_written_to_it(shell, layer):
    """After the end of input only its system's reset tells, which the reactor does not report."""
    script = Script(deliver=emits(Write(b"news")))
    one = shell(script)
    client = one.connect()
    core = the_core(script)
    client.close()
    wait_until(lambda: "receive_eof" in core.names())
    layer.send(one.channel + core.context.name, {})
    wait_until(lambda: "connection_lost" in core.names())


def test_a_client_that_left_unseen_before_a_write_is_found_out(shell):
    """Its end of input and the reset that the write met are then there at the same time."""
    script = Script(deliver=emits(Write(b"news")))
    one = shell(script)
    client = one.connect()
    core = the_core(script)

    def leave_and_write() -> None:
        client.close()
        one.only.deliver("abc", {}, {})

    in_reactor(leave_and_write)
    wait_until(lambda: "connection_lost" in core.names())


def test_a_client_that_closed_only_its_side_is_written_to_as_long_as_it_reads(shell, layer):
    script = Script(
        deliver=emits(Write(b"news")),
        timer=emits(Write(b" later"), Close()),
    )
    one = shell(script)
    client = one.connect()
    client.shutdown(socket.SHUT_WR)
    core = the_core(script)
    wait_until(lambda: "receive_eof" in core.names())
    layer.send(one.channel + core.context.name, {})
    wait_until(lambda: "deliver" in core.names())
    in_reactor(lambda: one.only._probe())
    in_reactor(lambda: one.only._timed_out("later"))
    assert read_all(client) == b"news later"
