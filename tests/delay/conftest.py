"""The databases that delayed messages are stored in, each in turn, and delay servers in threads."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections, router
from django.test import override_settings

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.delay.models import DelayedMessage
from channels.delay.worker import Worker
from channels.layers.inmemory import ChannelLayer
from tests.delay.databases import ALIAS, Apart, configured
from tests.servers.postgresql import PostgresServer
from tests.waiting import wait_until
from tests.worker.workers import running

DATABASES = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.needs("initdb", "postgres")),
]


@pytest.fixture(scope="package")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests of delayed messages."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="package", params=DATABASES)
def migrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """What DATABASES says of each database that has the table; ``ALIAS`` is it in this process."""
    options: dict[str, Any] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path_factory.mktemp("delayed") / "db.sqlite3"),
        # Nothing waits for the disk: processes die here, the system does not.
        "OPTIONS": {"init_command": "PRAGMA synchronous=OFF"},
    }
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        options = server.create_database(f"delayed{secrets.token_hex(4)}")
    with pytest.MonkeyPatch.context() as patch, configured(options):
        patch.setattr(router, "routers", [Apart()])
        call_command("migrate", "channels_delay", database=ALIAS, verbosity=0)
        connections[ALIAS].close()
        yield options


@pytest.fixture
def database(migrated: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same, empty."""
    yield migrated
    DelayedMessage.objects.all().delete()
    connections[ALIAS].close()


@pytest.fixture
def layer() -> Iterator[ChannelLayerWrapper]:
    """A default layer in memory that stands for one that processes share."""
    layer = ChannelLayerWrapper(ChannelLayer(capacity=100), "default", {})
    old = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", old)


@pytest.fixture
def run(database: Any, layer: ChannelLayerWrapper) -> Iterator[Callable[..., Worker]]:
    """Runs one more delay server; all are stopped at the end."""
    with ExitStack() as stack:

        def run(**options: Any) -> Worker:
            options = {"database_sleep_duration": 3600, **options}
            worker = Worker(layer, signal_handlers=False, **options)
            members = len(layer.group_channels("channels.delay"))
            stack.enter_context(running(worker))
            wait_until(lambda: len(layer.group_channels("channels.delay")) > members)
            return worker

        yield run


@pytest.fixture
def stored(database: Any) -> Callable[[], list[DelayedMessage]]:
    """The rows, in the order of their due dates."""
    return lambda: list(DelayedMessage.objects.order_by("due_date", "pk"))


@pytest.fixture
def settings() -> Iterator[Any]:
    """Settings to be changed for the time of a test."""
    with override_settings():
        yield django_settings
