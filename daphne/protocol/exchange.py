"""One request and its response: what a core remembers between the two.

Only state and the messages about it are here; what happens when is decided in ``receiver`` and
``responder``.
"""

from functools import lru_cache
from typing import Any

from channels.spec import HttpRequest, http_request
from daphne.protocol.credit import Credit
from daphne.protocol.request import Request
from daphne.protocol.response import ResponseBody
from daphne.protocol.upload import Upload

__all__ = ["Exchange", "client_name", "refusal_details"]


@lru_cache(maxsize=1024)
def client_name(client: tuple[str, int] | None) -> str | None:
    """A client's address as the access log names it."""
    return None if client is None else f"{client[0]}:{client[1]}"


def refusal_details(client: str | None, method: str, path: str, status: int) -> dict[str, Any]:
    """What the access log is told of a request that nobody but the server heard of."""
    return {
        "path": path,
        "status": status,
        "method": method,
        "client": client,
        "time_taken": 0.0,
        "size": 0,
    }


class Exchange:
    """A request that was not answered to its end yet.

    Without a body it is the key of the operation that sends its ``http.request``.
    """

    __slots__ = (
        "announced",
        "answered",
        "body",
        "continue_due",
        "credit",
        "held",
        "local",
        "looked_at",
        "received",
        "receiving",
        "reply_channel",
        "request",
        "started",
        "status",
        "upload",
    )

    def __init__(self, request: Request, local: str, reply_channel: str, started: float) -> None:
        self.request = request
        #: Local part of the reply channel, and all of it.
        self.local = local
        self.reply_channel = reply_channel
        #: When the head had arrived, in seconds of the context's clock.
        self.started = started
        #: Whether the application was sent a request without a body.
        self.announced = False
        #: Whether there is a body whose end has not come.
        self.receiving = False
        #: Takes the body to the layer; None where there is none.
        self.upload: Upload | None = None
        #: Bytes of body received, and how many they were at the last look at the rate.
        self.received = 0
        self.looked_at = 0
        #: Whether the client is kept from sending because the layer takes no more.
        self.held = False
        #: Whether the client still has to be told to go on with the body.
        self.continue_due = False
        #: Status of the response; 0 before it has begun.
        self.status = 0
        #: When a response that comes in several messages began; None for others.
        self.answered: float | None = None
        #: The rest of a response that comes in several messages.
        self.body: ResponseBody | None = None
        #: Flow control of that rest.
        self.credit: Credit | None = None

    @property
    def is_announced(self) -> bool:
        """Whether the application knows of the request."""
        return self.announced or (self.upload is not None and self.upload.is_announced)

    def message(self) -> HttpRequest:
        """The request for the application, its body left to be filled in."""
        head = self.request.head
        return http_request(
            self.reply_channel,
            head.method,
            head.path,
            head.headers,
            http_version=head.http_version,
            scheme=head.scheme,
            query_string=head.query_string,
            root_path=head.root_path,
            client=head.client,
            server=head.server,
        )

    def details(self, status: int, size: int, seconds: float) -> dict[str, Any]:
        """What action loggers are told of the request's end, ``seconds`` after its head."""
        head = self.request.head
        return {
            "path": head.target.decode("latin-1"),
            "status": status,
            "method": head.method,
            "client": client_name(head.client),
            "time_taken": seconds,
            "size": size,
            "first_byte": seconds if self.answered is None else self.answered - self.started,
            "http_version": head.http_version,
            "headers": head.headers,
            "reply_channel": self.reply_channel,
        }
