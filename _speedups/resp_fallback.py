"""Redis' protocol, RESP 2, over the hiredis library: commands to bytes, bytes to replies.

This is what is used where nothing was compiled. Replies are parsed by hiredis in either case: it is
written in C already, and well tried.
"""

from hiredis import ProtocolError, Reader, ReplyError, pack_command

__all__ = ["ProtocolError", "Reader", "ReplyError", "bulk", "pack"]


def pack(args: tuple[bytes | str | int, ...]) -> bytes:
    """The bytes of one command."""
    packed: bytes = pack_command(args)  # type: ignore[arg-type]  # tuples are invariant to it
    return packed


def bulk(head: bytes, value: bytes) -> bytes:
    """``head``, the bytes of a command up to its last argument, with ``value`` as that argument."""
    return b"%b$%d\r\n%b\r\n" % (head, len(value), value)
