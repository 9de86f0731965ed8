"""Consistent hashing."""

from collections import Counter

from channels.layers.redis.ring import Ring

#: Where some names lie; with other values the processes of two versions would miss each other.
PLACES = [3, 5, 6, 0]

NAMES = [f"daphne.response.{number:x}!" for number in range(4000)]


def test_names_are_spread_over_all_shards():
    shares = Counter(map(Ring(4).place, NAMES))
    assert set(shares) == {0, 1, 2, 3}
    assert min(shares.values()) > len(NAMES) / 4 / 2


def test_a_further_shard_takes_names_and_moves_no_others():
    before, after = Ring(4), Ring(5)
    moved = [name for name in NAMES if before.place(name) != after.place(name)]
    assert {after.place(name) for name in moved} == {4}
    assert len(moved) < len(NAMES) * 2 / 5


def test_places_are_the_same_in_every_process_and_version():
    assert [Ring(7).place(name) for name in ("http.request", "a?b", "serv!", "x" * 200)] == PLACES
