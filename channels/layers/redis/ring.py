"""Consistent hashing: names to shards, so that few names move where a shard is added."""

import bisect
import functools
import hashlib

__all__ = ["Ring"]

#: Points of each shard on the ring; shares differ by about a tenth.
_POINTS = 128


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class Ring:
    """Places names on one of ``size`` shards, the same in every process and version."""

    def __init__(self, size: int) -> None:
        points = sorted(
            (_hash(f"{shard}:{point}"), shard) for shard in range(size) for point in range(_POINTS)
        )
        self._hashes = [point for point, _ in points]
        self._shards = [shard for _, shard in points]
        #: The number of the shard of a name.
        self.place = functools.lru_cache(maxsize=10_000)(self._place)

    def _place(self, name: str) -> int:
        if self._shards[0] == self._shards[-1] == 0 and len(self._shards) == _POINTS:
            return 0
        at = bisect.bisect(self._hashes, _hash(name))
        return self._shards[at % len(self._shards)]
