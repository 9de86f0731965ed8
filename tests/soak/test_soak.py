"""The scenarios of ``make soak`` in their short form; one deployment for all that can share it."""

from collections.abc import Iterator

import pytest

from tests.soak.runs import run
from tests.soak.scenarios import SCENARIOS, SHORT
from tests.soak.stack import Stack
from tests.soak.traffic import Traffic

pytestmark = [
    pytest.mark.needs("nginx", "postgres", "redis-server"),
    pytest.mark.compiled_only,
]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Traffic]]:
    with run(tmp_path_factory.mktemp("soak"), SHORT) as both:
        yield both


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "sentinel"])
def test_what_is_promised_is_kept(deployment: tuple[Stack, Traffic], name: str) -> None:
    result = SCENARIOS[name](*deployment, SHORT)

    assert result.broken == [], result.figures


@pytest.mark.timeout(300)  # an election may have to be held twice
def test_a_failover_by_sentinels_is_borne(tmp_path_factory: pytest.TempPathFactory) -> None:
    with run(tmp_path_factory.mktemp("soak"), SHORT, sentinel=True) as deployment:
        result = SCENARIOS["sentinel"](*deployment, SHORT)

    assert result.broken == [], result.figures
