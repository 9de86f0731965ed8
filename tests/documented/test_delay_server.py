"""The samples of the chapter Delay Server, in a project over Redis whose database is a file."""

import shlex
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.layers.redis import RedisChannelLayer
from tests.documented.samples import chapter
from tests.management.project import Process, Project
from tests.servers.redis import RedisServer

SETTINGS = """
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(__file__).parent / "db.sqlite3"),
    }}
}}
CHANNEL_LAYERS["default"] = {{
    "BACKEND": "channels.layers.redis.RedisChannelLayer",
    "CONFIG": {{"hosts": [{address!r}], "prefix": "delayed:"}},
    "ROUTING": "routing.channel_routing",
}}
"""

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture
def project(tmp_path: Any, redis_server: RedisServer) -> Iterator[Project]:
    """A project with the chapter's settings."""
    further = "INSTALLED_APPS = tuple(app for app in INSTALLED_APPS if app is not ...)"
    settings = SETTINGS.format(address=redis_server.address)
    project = Project(
        tmp_path, "\n".join([settings, chapter("delay_server")["installed_apps"], further])
    )
    yield project
    for process in project.processes:
        print(process.output())  # shown where the test failed
    project.end()


@pytest.fixture
def run(project: Project) -> Callable[[str], Process]:
    """Runs a printed command."""
    return lambda command: project.run(*shlex.split(command)[1:])


def tables(project: Project) -> set[str]:
    connection = sqlite3.connect(project.folder / "db.sqlite3")
    found = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return found


def test_installed_apps(sample, project):
    assert sample in (project.folder / "settings.py").read_text()
    check = project.start("check")
    assert check.wait() == 0
    assert "no issues" in check.output()


def test_migrate(sample, project, run):
    assert run(sample).wait() == 0

    assert "channels_delay_delayedmessage" in tables(project)


def test_rundelay(sample, run):
    assert run(chapter("delay_server")["migrate"]).wait() == 0

    server = run(sample)
    server.wait_for("Listening on channel asgi.delay")
    server.signal(signal.SIGINT)

    assert server.wait() == 0


def test_delayed_message(sample, samples, run, redis_server):
    assert run(samples["migrate"]).wait() == 0
    run(samples["rundelay"]).wait_for("Listening on channel asgi.delay")
    own = RedisChannelLayer(hosts=[redis_server.address], prefix="delayed:")
    earlier = channel_layers.set("default", ChannelLayerWrapper(own, "default", {}))
    try:
        begin = time.monotonic()
        exec(sample.replace("10 * 1000", "1000"), {})
        received = own.receive(["example_channel"], block=True, timeout=30)
    finally:
        channel_layers.set("default", earlier)
        own.close()

    assert received == ("example_channel", {"x": 1})
    assert time.monotonic() - begin >= 1
