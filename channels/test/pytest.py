"""The pytest plug-in: fixtures for consumers and for whole sites.

It is loaded into every test run, and does nothing in those that use none of its fixtures: Django is
imported by them alone. They work beside pytest-django, and without it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from channels.asgi import ChannelLayerWrapper
    from channels.test.site import LiveSite
    from channels.test.websocket import WSClient

__all__ = [
    "apply_routes",
    "channel_layer",
    "channels_databases",
    "channels_live_server",
    "ws_client",
]


#: The fixtures of pytest-django that have tests commit.
_COMMITTING = {"transactional_db", "django_db_reset_sequences", "live_server"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have pytest-django, where it is there, give tests of live servers a database to commit in.

    It wants to know which tests need one before it runs the first.
    """
    names = getattr(item, "fixturenames", ())
    if "channels_live_server" in names and item.config.pluginmanager.hasplugin("django"):
        marker = item.get_closest_marker("django_db")
        wanted: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
        item.add_marker(pytest.mark.django_db(**{**wanted, "transaction": True}), append=False)


@pytest.fixture(scope="session")
def _channels_django() -> None:
    """Sees that Django is set up."""
    import django  # noqa: PLC0415  (test runs without Django load this module too)
    from django.conf import settings  # noqa: PLC0415

    if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        pytest.fail(
            "the fixtures of channels.test.pytest need Django's settings: set the environment "
            "variable DJANGO_SETTINGS_MODULE, or call settings.configure() in conftest.py",
            pytrace=False,
        )
    django.setup()


@pytest.fixture
def channel_layer(
    request: pytest.FixtureRequest, _channels_django: None
) -> "Iterator[ChannelLayerWrapper]":
    """A fresh layer in memory that takes the place of the default one during the test.

    Its ``waiting()`` shows the messages on it. Database connections stay open through the consumers
    that the test runs. Data binding sends at once where pytest-django lets no test commit.
    """
    from channels import DEFAULT_CHANNEL_LAYER, channel_layers  # noqa: PLC0415
    from channels.binding.base import sending_at_once  # noqa: PLC0415
    from channels.test.connections import keep_connections  # noqa: PLC0415
    from channels.test.layers import captive_layers  # noqa: PLC0415

    with ExitStack() as stack:
        stack.enter_context(captive_layers([DEFAULT_CHANNEL_LAYER]))
        stack.enter_context(keep_connections())
        if not _commits(request):
            stack.enter_context(sending_at_once())
        yield channel_layers[DEFAULT_CHANNEL_LAYER]


def _commits(request: pytest.FixtureRequest) -> bool:
    """Whether what a test does in the database is committed."""
    if not request.config.pluginmanager.hasplugin("django"):
        return True
    marker = request.node.get_closest_marker("django_db")
    if marker is not None:
        options = dict(zip(("transaction", "reset_sequences"), marker.args, strict=False))
        options |= marker.kwargs
        if options.get("transaction") or options.get("reset_sequences"):
            return True
    return bool(_COMMITTING & set(request.fixturenames))


@pytest.fixture
def ws_client(channel_layer: "ChannelLayerWrapper") -> "WSClient":
    """A ``WSClient`` on ``channel_layer``."""
    from channels.test.websocket import WSClient  # noqa: PLC0415

    return WSClient()


@pytest.fixture
def apply_routes(channel_layer: "ChannelLayerWrapper") -> Iterator[Callable[..., None]]:
    """A function that has other routes in place until the test ends.

    Its arguments are those of ``channels.test.apply_routes``.
    """
    from channels.test import routes  # noqa: PLC0415

    with ExitStack() as stack:

        def apply(*args: Any, **kwargs: Any) -> None:
            stack.enter_context(routes.apply_routes(*args, **kwargs))

        yield apply


@pytest.fixture(scope="session")
def channels_databases(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test databases of ``channels_live_server``, where pytest-django is not there to make
    them.

    A project that makes its own overrides this fixture.
    """
    request.getfixturevalue("_channels_django")
    from django.test.utils import setup_databases, teardown_databases  # noqa: PLC0415

    made = setup_databases(verbosity=0, interactive=False)
    yield
    teardown_databases(made, verbosity=0)


@pytest.fixture
def _channels_committed(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test database in which tests commit, emptied after each; pytest-django has its own."""
    if request.config.pluginmanager.hasplugin("django"):
        yield
        return
    request.getfixturevalue("channels_databases")
    yield
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    for alias in connections:
        call_command("flush", verbosity=0, interactive=False, database=alias)


@pytest.fixture(scope="session")
def _channels_sites() -> "Iterator[list[tuple[object, LiveSite]]]":
    """The site that the last test used, with the settings that it runs with."""
    sites: list[tuple[object, LiveSite]] = []
    yield sites
    for _, site in sites:
        site.close()


@pytest.fixture
def channels_live_server(
    _channels_django: None,
    _channels_committed: None,
    _channels_sites: "list[tuple[object, LiveSite]]",
) -> "Iterator[LiveSite]":
    """The project, served by Daphne and workers in processes of their own.

    ``url`` and ``ws_url`` are its addresses. It needs what ``ChannelLiveServerTestCase`` needs: a
    test database that is not in memory, and one channel layer with a TEST_CONFIG. The processes go
    on to serve the next test, unless the settings have changed; nothing that a test leaves behind
    reaches it.
    """
    from channels.test.environment import Environment  # noqa: PLC0415
    from channels.test.site import LiveSite  # noqa: PLC0415

    environment = Environment.here()
    if _channels_sites and _channels_sites[0][0] != environment:
        _channels_sites.pop()[1].close()
    if not _channels_sites:
        _channels_sites.append((environment, LiveSite("channels_live_server")))
    site = _channels_sites[0][1]
    site.start()
    yield site
    site.stop()
