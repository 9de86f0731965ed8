"""The interface of WSFRAME; ``daphne.protocol.engine`` says what is read and refused."""

from collections.abc import Callable
from typing import Any

__all__ = ["FrameReader"]

class FrameReader:
    def __init__(
        self,
        max_frame: int,
        max_message: int,
        max_fragments: int,
        deflate: bool,
        text: Callable[[str], Any],
        binary: Callable[[bytes], Any],
        ping: Callable[[bytes], Any],
        pong: Callable[[bytes], Any],
        close: Callable[[bytes], Any],
        failure: Callable[[int, str], Any],
    ) -> None: ...
    def feed(self, data: bytes) -> list[Any]: ...
