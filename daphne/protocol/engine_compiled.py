"""The engine that reads frames by ``channels._speedups.wsframe``, where that was compiled."""

from channels._speedups import wsframe
from daphne.protocol.engine import (
    Binary,
    Engine,
    Failure,
    Limits,
    Ping,
    Pong,
    Text,
    read_close,
)

__all__ = ["make_engine"]


def make_engine(limits: Limits) -> Engine:
    """An engine for one connection whose handshake is done."""
    sizes = limits.frame, limits.message, limits.fragments
    return wsframe.FrameReader(
        *sizes, limits.deflate, Text, Binary, Ping, Pong, read_close, Failure
    )
