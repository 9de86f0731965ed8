"""The Autobahn test suite: against Daphne alone, and through a layer and a worker.

Its cases 9 are about limits, 12 and 13 about compression; what a case may say is in ``running``.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.layers import LAYERS
from tests.deployment.matrix import OWN
from tests.deployment.site import Site
from tests.servers.redis import RedisServer
from tests.websocket_suite.running import LONG, check, verdicts_of


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """The address of a Daphne that echoes by itself."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.websocket_suite.echo"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield f"ws://127.0.0.1:{port}/"
        process.terminate()


def test_daphne_fails_no_case_of_the_autobahn_suite(echo: str) -> None:
    check(verdicts_of(echo, "--without", *LONG), 247)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_daphne_fails_no_long_case_of_the_autobahn_suite(echo: str) -> None:
    check(verdicts_of(echo, "--only", *LONG), 270)


@pytest.mark.slow
@pytest.mark.needs("redis-server")
def test_a_deployment_fails_no_case_of_the_autobahn_suite(tmp_path: Path) -> None:
    with RedisServer() as redis:
        settings = LAYERS["redis"].settings(redis=redis.url, prefix="suite")
        site = Site(tmp_path, settings, OWN)
        try:
            site.have_workers(1)
            url = f"ws://127.0.0.1:{site.daphnes[0].port}/"
            check(verdicts_of(url, "--without", *LONG), 247)
        finally:
            site.end()
