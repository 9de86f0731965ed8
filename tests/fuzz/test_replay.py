"""Every input that the fuzzers have kept, once more: without them, and within a few seconds."""

import itertools
import time

import pytest

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS, load_target

pytestmark = pytest.mark.compiled_only  # each target takes both forms itself

#: Seconds for a target; what does not fit is left to ``make fuzz``, which begins with all of them.
_SECONDS = 2.0


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_of_a_fuzzer_is_replayed(name: str) -> None:
    target = load_target(name)
    end = time.monotonic() + _SECONDS
    inputs = [*target.seeds, *corpus.load(name)]
    for one in itertools.takewhile(lambda _: time.monotonic() < end, inputs):
        target.check(one)


@pytest.mark.parametrize("name", TARGETS)
def test_a_corpus_is_small(name: str) -> None:
    inputs = corpus.load(name)
    assert len(inputs) == len(set(inputs)) < 1000
    assert sum(map(len, inputs)) < 256 * 1024
