"""The interface of RESP, compiled or not; ``resp_fallback`` says what each function does."""

from hiredis import ProtocolError, Reader, ReplyError

__all__ = ["ProtocolError", "Reader", "ReplyError", "bulk", "pack"]

def pack(args: tuple[bytes | str | int, ...]) -> bytes: ...
def bulk(head: bytes, value: bytes) -> bytes: ...
