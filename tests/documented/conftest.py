"""What the tests of the samples have: the sample, a project, a captive layer and a database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from channels.binding.base import sending_at_once
from channels.test import WSClient
from channels.test.layers import captive_layers
from tests.browsers import headless_chromium
from tests.databases import made_databases, rolled_back
from tests.documented.project import Project, made_project
from tests.documented.samples import chapter
from tests.documented.site import Site
from tests.servers.redis import RedisServer


@pytest.fixture
def samples(request: pytest.FixtureRequest) -> dict[str, str]:
    """The samples of the chapter for which the test's module is named."""
    return chapter(request.path.stem.removeprefix("test_"))


@pytest.fixture
def sample(request: pytest.FixtureRequest, samples: dict[str, str]) -> str:
    """The sample for which the test is named."""
    return samples[request.node.originalname.removeprefix("test_")]


@pytest.fixture
def project(tmp_path: Path, tables: None, layer: None) -> Iterator[Project]:
    """An empty project; it ends before the database does."""
    with made_project(tmp_path) as project:
        yield project


@pytest.fixture
def layer() -> Iterator[None]:
    """A captive layer in the place of the configured one."""
    with captive_layers(["default"]), sending_at_once():
        yield


@pytest.fixture(scope="package")
def tables() -> Iterator[None]:
    """The database, with the tables of the installed apps."""
    with made_databases():
        yield


@pytest.fixture
def database(tables: None) -> Iterator[None]:
    """The database, in a transaction that is rolled back; for tests that install no app."""
    with rolled_back():
        yield


@pytest.fixture
def client(layer: None) -> WSClient:
    """A WebSocket on the captive layer."""
    return WSClient(ordered=True)


@pytest.fixture(scope="package")
def redis_server() -> Iterator[RedisServer]:
    """A server for all samples that have to do with one."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="package")
def site(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Daphne over Redis."""
    site = Site(tmp_path_factory.mktemp("site"), redis_server)
    yield site
    site.end()


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """The browser for the samples that run in one."""
    with headless_chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
