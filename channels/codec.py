"""The bytes of a message: a checked msgpack map, and the envelope in which layers store it.

The work is done in ``channels._speedups``, compiled where that was built. ``encode`` says what a
message may hold, ``docs/wire-format.md`` how the bytes are laid out. Names, capacity and the
meaning of deadlines are the layers' matter.
"""

from channels._speedups import codec as _codec
from channels._speedups.codec_fallback import (
    DEFAULT_LIMIT,
    MAX_DEPTH,
    MAX_SIZE,
    MAX_TARGET_LENGTH,
    MAX_TARGETS,
    MAX_VALUES,
    VERSION,
    Envelope,
)

__all__ = [
    "DEFAULT_LIMIT",
    "MAX_DEPTH",
    "MAX_SIZE",
    "MAX_TARGETS",
    "MAX_TARGET_LENGTH",
    "MAX_VALUES",
    "VERSION",
    "Envelope",
    "decode",
    "encode",
    "pack_envelope",
    "unpack_envelope",
]

encode = _codec.encode
decode = _codec.decode
pack_envelope = _codec.pack_envelope
unpack_envelope = _codec.unpack_envelope
