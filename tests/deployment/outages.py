"""What is asked of a deployment whose server is away: whether it serves, and sheds its sockets."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection

from tests.daphne.clients import HttpClient
from tests.deployment.site import Daphne, Site
from tests.waiting import wait_until

__all__ = ["PATIENCE", "at_work", "echoes", "is_shed", "serves", "status"]

#: Seconds within which everything works again: the longest waits of the retries, and one try.
PATIENCE = 30


@contextmanager
def at_work(site: Site) -> Iterator[Site]:
    """The site, at work; and afterwards still run by the same processes."""
    site.begin(workers=2)
    for daphne in site.daphnes:
        wait_until(lambda one=daphne: serves(one), PATIENCE)
    yield site
    print(site.outputs())  # shown where the test failed
    assert all(daphne.process.running for daphne in site.daphnes)
    assert all(worker.running for worker in site.workers)


def status(daphne: Daphne) -> int:
    """What a request comes to."""
    client = HttpClient(("127.0.0.1", daphne.port))
    try:
        client.request("/hello/")
        return client.response().status
    finally:
        client.close()


def echoes(socket: ClientConnection) -> bool:
    """Whether a message comes back."""
    text = secrets.token_hex(4)
    try:
        socket.send(text)
        return socket.recv(timeout=5) == text
    except (ConnectionClosed, TimeoutError):
        return False


def serves(daphne: Daphne) -> bool:
    """Whether requests and new sockets are served."""
    if status(daphne) != 200:
        return False
    try:
        with daphne.websocket() as socket:
            return echoes(socket)
    except (ConnectionClosed, InvalidHandshake, OSError, EOFError):
        return False  # it may just be shedding its sockets


def is_shed(socket: ClientConnection) -> bool:
    """Whether the server closes it within the time in which it may take its layer for lost."""
    try:
        while True:
            socket.recv(timeout=PATIENCE)
    except ConnectionClosed:
        return True
    except TimeoutError:
        return False
