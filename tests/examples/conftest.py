"""The browser, the servers, and the sites of the tests of examples.

A module names its ``EXAMPLE``, and as ``DEPLOYMENTS`` pairs of a database and a layer: each of its
tests has a ``site`` for each pair. ``ROWS`` is code that makes rows before.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from channels import _speedups
from tests.browsers import headless_chromium
from tests.examples.site import ExampleSite
from tests.layers.ipc.segments import fresh_prefix, remove
from tests.servers.postgresql import PostgresServer
from tests.servers.redis import RedisServer

#: The programs that databases and layers need.
PROGRAMS = {"sqlite": (), "postgresql": ("postgres",), "ipc": (), "redis": ("redis-server",)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its sites."""
    if "site" in metafunc.fixturenames:
        first, *others = metafunc.module.DEPLOYMENTS
        pairs = [_as_parameter(*first), *(_as_parameter(*pair, SLOW) for pair in others)]
        metafunc.parametrize("site", pairs, indirect=True, scope="module")


#: The first deployment of an example is for every run; over all examples, each kind is met there.
SLOW = pytest.mark.slow


def _as_parameter(database: str, layer: str, *more: pytest.MarkDecorator) -> Any:
    programs = ("chromium", "chromedriver", *PROGRAMS[database], *PROGRAMS[layer])
    marks = [pytest.mark.needs(*programs), pytest.mark.compiled_only, *more]
    if layer == "ipc":
        missing = not _speedups.is_available("shm")
        marks.append(pytest.mark.skipif(missing, reason="needs channels._speedups.shm"))
    return pytest.param((database, layer), id=f"{database}-{layer}", marks=marks)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """The browser."""
    with headless_chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(autouse=True)
def one_window(browser: webdriver.Chrome) -> Iterator[None]:
    """Sees that a test leaves one window, nobody logged in, and no error in a page."""
    yield
    for window in browser.window_handles[1:]:
        browser.switch_to.window(window)
        browser.close()
    browser.switch_to.window(browser.window_handles[0])
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    browser.get("about:blank")
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    assert errors == []


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """The PostgreSQL."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The Redis."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExampleSite]:
    """The example over a database and a layer."""
    database, layer = request.param
    folder = tmp_path_factory.mktemp("example")
    prefix = fresh_prefix()
    site = ExampleSite(
        request.module.EXAMPLE,
        folder,
        _database(request, database, folder),
        _layer(request, layer, prefix),
        getattr(request.module, "ROWS", ""),
    )
    yield site
    print(site.output())  # shown where the test failed
    site.end()
    remove(prefix)


def _database(request: pytest.FixtureRequest, name: str, folder: Path) -> dict[str, Any]:
    if name == "sqlite":
        return {"NAME": str(folder / "db.sqlite3")}
    server: PostgresServer = request.getfixturevalue("postgresql")
    return {**server.create_database(request.module.EXAMPLE), "OPTIONS": {}}


def _layer(request: pytest.FixtureRequest, name: str, prefix: str) -> dict[str, Any]:
    if name == "ipc":
        return {
            "BACKEND": "channels.layers.ipc.IPCChannelLayer",
            "CONFIG": {"prefix": prefix, "capacity": 1000},
        }
    server: RedisServer = request.getfixturevalue("redis_server")
    return {
        "BACKEND": "channels.layers.redis.RedisChannelLayer",
        "CONFIG": {"hosts": [server.url], "prefix": f"{prefix}:", "capacity": 1000},
    }
