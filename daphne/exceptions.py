"""Exceptions of the interface server.

.. code-block:: text

    DaphneError
    ├── ListenError
    └── RequestRefused

What comes from the application, such as a response that is none, raises
``channels.exceptions.InvalidMessage``.
"""

__all__ = ["DaphneError", "ListenError", "RequestRefused", "StartError"]


class DaphneError(Exception):
    """The root of the interface server's own exceptions."""


class ListenError(DaphneError):
    """The server cannot listen where it was told to: an address in use, a wrong endpoint string.

    ``errno`` is the system's error number, or None.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class StartError(DaphneError):
    """The server cannot start: there is no such channel layer, or what it needs is missing."""


class RequestRefused(DaphneError):
    """An error of the client: its request is answered by ``status`` and the connection closed.

    ``detail`` is a sentence for the client and the log; it must hold nothing that the client sent.
    ``headers`` are further headers of the answer. ``option`` names the option whose limit was
    exceeded, for the log.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        option: str = "",
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.option = option

    def __str__(self) -> str:
        limit = f" (option {self.option})" if self.option else ""
        return f"{self.status}: {self.detail}{limit}"
