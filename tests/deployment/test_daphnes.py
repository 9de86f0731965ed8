"""Daphnes that die: their sockets are gone, and nobody else's."""

import signal
import socket
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosedError

from tests.waiting import wait_until

#: Seconds after which what a dead Daphne was sent counts as unread.
EXPIRY = 0.5


def test_the_sockets_of_a_killed_daphne_leave_their_groups(site):
    sender = site.make_layer(expiry=EXPIRY)
    with ExitStack() as stack:
        survivors = [stack.enter_context(each.websocket("/room-d/")) for each in site.daphnes]
        doomed = site.start_daphne()
        lost = [stack.enter_context(doomed.websocket("/room-d/")) for _ in range(3)]
        assert len(sender.group_channels("room-d")) == 5

        doomed.process.signal(signal.SIGKILL)
        doomed.process.wait()
        del lost[:]
        sent = 0

        def only_survivors_are_left() -> bool:
            nonlocal sent
            sender.send_group("room-d", {"text": str(sent)})
            sent += 1
            for survivor in survivors:  # nothing is lost to them, whatever becomes of the others
                assert survivor.recv(timeout=20) == str(sent - 1)
            return len(sender.group_channels("room-d")) == 2

        wait_until(only_survivors_are_left)
        assert site.daphnes[0].client().get("/hello/").status == 200


def test_a_daphne_told_to_stop_ends_in_order_and_its_sockets_leave(site):
    daphne = site.start_daphne()
    with daphne.websocket("/room-e/") as websocket:
        assert len(site.layer.group_channels("room-e")) == 1

        daphne.process.signal(signal.SIGTERM)

        with pytest.raises(ConnectionClosedError):
            websocket.recv(timeout=20)
        assert websocket.close_code == 1012  # service restart: clients come back
    assert daphne.process.wait() == 0, daphne.process.output()
    wait_until(lambda: site.layer.group_channels("room-e") == [])


def test_datagrams_are_answered_by_the_server_that_they_went_to(site):
    """By a consumer of Django's, and each client by its own server only."""
    with ExitStack() as stack:
        clients = []
        for daphne in site.daphnes * 3:
            client = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            client.settimeout(20)
            client.connect(("127.0.0.1", daphne.udp_port))  # hears this address only
            clients.append(client)
        for turn in range(10):
            for number, client in enumerate(clients):
                client.send(f"{turn} from {number}".encode())
            for number, client in enumerate(clients):
                assert client.recv(100) == f"{turn} FROM {number}".encode()


def test_who_watches_a_server_sees_what_it_does(site):
    daphne = site.daphnes[0]
    requests = daphne.metric('daphne_requests_total{status="200"}')
    assert daphne.client().get("/hello/").status == 200
    assert daphne.admin("/readyz").status == 200
    assert daphne.metric('daphne_requests_total{status="200"}') == requests + 1
    assert daphne.metric("daphne_layer_up") == 1
    assert daphne.metric("daphne_layer_round_trip_seconds_count") > 0
    assert daphne.metric('daphne_layer_messages_total{channel="http.request"}') > 0
