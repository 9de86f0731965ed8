"""A Daphne over Redis, whose worker is in this process, and a browser."""

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.browsers import headless_chromium
from tests.documented.site import Site
from tests.servers.redis import RedisServer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The Daphne."""
    with RedisServer() as server:
        site = Site(tmp_path_factory.mktemp("site"), server)
        yield site
        site.end()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """The browser."""
    with headless_chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
