"""Cutting an input into reads at places that it decides itself, so that it can be replayed."""

import random
import zlib

__all__ = ["chance_of", "pieces"]


def chance_of(data: bytes) -> random.Random:
    """A source of chance that is the same whenever the input is."""
    return random.Random(zlib.crc32(data))


def pieces(data: bytes, chance: random.Random) -> list[bytes]:
    """The input in pieces: a few, or single bytes."""
    if chance.random() < 0.25 and len(data) < 512:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
