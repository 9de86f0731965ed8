"""The interface servers that are compared, ours and the peers."""

import sys

from servers import PEER_PYTHON, Contender, Program

__all__ = ["MEMBERS", "PREFETCH", "SERVERS", "deployment", "websocket_servers"]

#: A worker that takes several messages at once.
PREFETCH = ("--prefetch=16",)


def deployment(name: str, layer: str, *options: str, worker: tuple[str, ...] = ()) -> Contender:
    """Daphne and one worker, two processes over a layer, with their commands as in production.

    ``options`` are further ones of Daphne's, ``worker`` those of the worker.
    """
    daphne = ("-m", "daphne", "-v0", "-p{port}", *options, "project.asgi:channel_layer")
    return Contender(
        name,
        "batteries",
        sys.executable,
        (
            Program("daphne", daphne),
            Program("worker", ("-m", "django", "runworker", "-v0", *worker)),
        ),
        layer,
    )


def _peer(name: str, *arguments: str, layer: str = "", websocket: bool = True) -> Contender:
    return Contender(
        name, "peers", PEER_PYTHON, (Program("server", ("-m", *arguments)),), layer, websocket
    )


_DAPHNE_4 = ("daphne", "-v0", "-p{port}", "project.asgi:application")
_UVICORN = (
    *("uvicorn", "--no-access-log", "--log-level=error"),
    *("--port={port}", "project.asgi:application"),
)

#: Daphne and a worker over the shared layers, both in one process, and the peers, which have one
#: process, and log no requests either.
SERVERS = [
    deployment("ours, Redis", "redis"),
    deployment("ours, Redis, prefetch", "redis", worker=PREFETCH),
    deployment("ours, shared memory", "ipc"),
    Contender(
        *("ours, one process", "batteries", sys.executable),
        (Program("server", ("-m", "project.serve", "{port}")),),
    ),
    _peer("daphne 4", *_DAPHNE_4),
    _peer("uvicorn", *_UVICORN),
    _peer(
        *("granian", "granian", "--interface=asgi", "--no-log"),
        *("--port={port}", "project.asgi:application"),
    ),
    _peer(
        *("hypercorn", "hypercorn", "--log-level=error"),
        *("--bind=127.0.0.1:{port}", "project.asgi:application"),
    ),
    _peer(
        *("gunicorn", "gunicorn", "--log-level=error", "--worker-class=gthread", "--threads=4"),
        *("--bind=127.0.0.1:{port}", "project.wsgi:application"),
        websocket=False,
    ),
]

#: Those whose sockets are members of a group, over Redis.
MEMBERS = [
    deployment("ours, Redis", "redis"),
    _peer("uvicorn, pub/sub", *_UVICORN, layer="redis:pubsub"),
    _peer("daphne 4, core", *_DAPHNE_4, layer="redis:core"),
]


def websocket_servers() -> list[Contender]:
    """The servers that speak WebSocket, and one without Django or any framework."""
    program = Program("server", ("-m", "project.websockets_alone", "{port}"))
    library = Contender("websockets alone", "peers", PEER_PYTHON, (program,), http=False)
    return [*(server for server in SERVERS if server.websocket), library]
