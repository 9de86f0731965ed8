"""Delay servers and workers as processes, over layers and databases that are deployed together."""

import secrets
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from channels.asgi import import_backend
from channels.delay.models import DelayedMessage
from tests.delay.databases import configured
from tests.deployment.layers import LAYERS
from tests.layers.ipc.segments import remove
from tests.management.project import Process, Project
from tests.servers.postgresql import PostgresServer
from tests.servers.redis import RedisServer
from tests.waiting import wait_until

#: Nothing here has two forms.
pytestmark = pytest.mark.compiled_only

SETTINGS = """
INSTALLED_APPS = ["channels", "channels.delay"]
CHANNEL_LAYERS = {{"default": {{**{layer!r}, "ROUTING": "routing.channel_routing"}}}}
DATABASES = {{"default": {database!r}}}
LOGGING_CONFIG = None
"""

ROUTING = """
import os
from channels import Channel
from channels.delay import send_later

def write(line):
    # One write to a file that is appended to: whole lines, whoever else writes (write(2)).
    descriptor = os.open("recorded", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (line + "\\n").encode())
    os.close(descriptor)

def schedule(message):
    content = {"number": message["number"]}
    if message["by"] == "send_later":
        send_later("record", content, delay=message["delay"])
    else:
        Channel("asgi.delay").send(
            {"channel": "record", "content": content, "delay": message["delay"]}
        )

def record(message):
    write(str(message["number"]))

channel_routing = {"schedule": schedule, "record": record}
"""


class Site:
    """A project with a worker, and a layer in this process."""

    def __init__(self, project: Project, layer: Any) -> None:
        self.project = project
        self.layer = layer
        self.servers: list[Process] = []

    def have_servers(self, number: int) -> None:
        """See that so many delay servers listen; they hardly ever look by themselves."""
        self.servers = [server for server in self.servers if server.running]
        for _ in range(number - len(self.servers)):
            self.servers.append(self.project.start("rundelay", "--sleep", "3600"))
        for server in self.servers:
            server.wait_for("Listening on channel asgi.delay")
        wait_until(lambda: len(self.layer.group_channels("channels.delay")) >= number, timeout=30)

    def schedule(self, number: int, by: str, delay: int) -> None:
        """Have a consumer send a number later."""
        message = {"number": number, "by": by, "delay": delay}
        self.layer.wait_for_room("schedule", 10)
        self.layer.send("schedule", message)

    def recorded(self) -> Counter[int]:
        """How often each number was recorded."""
        path = self.project.folder / "recorded"
        return Counter(map(int, path.read_text().split())) if path.exists() else Counter()

    def stored(self) -> int:
        """How many messages are in the database."""
        return DelayedMessage.objects.using("site").count()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("ipc", "sqlite"), id="ipc-sqlite", marks=LAYERS["ipc"].marks),
        pytest.param(
            ("redis", "postgresql"),
            id="redis-postgresql",
            marks=[*LAYERS["redis"].marks, pytest.mark.needs("initdb", "postgres")],
        ),
    ],
)
def whole_site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A project whose table is there and whose worker runs."""
    folder = tmp_path_factory.mktemp("site")
    kind, database = request.param
    values = {"prefix": f"delay{secrets.token_hex(4)}"}
    if kind == "redis":
        values["redis"] = request.getfixturevalue("redis_server").url
    options: dict[str, Any] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(folder / "db.sqlite3"),
    }
    if database == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        options = server.create_database(f"site{secrets.token_hex(4)}")
    config = LAYERS[kind].settings(**values)
    project = Project(folder, SETTINGS.format(layer=config, database=options))
    project.write("routing.py", ROUTING)
    assert project.start("migrate", "-v0").wait() == 0
    worker = project.start("runworker")
    worker.wait_for("Listening on channels")
    layer = import_backend("default", config["BACKEND"])(**config["CONFIG"])
    with configured(options, "site"):
        yield Site(project, layer)
    project.end()
    layer.close()
    remove(values["prefix"])


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    """The site, where nothing is stored or recorded."""
    DelayedMessage.objects.using("site").all().delete()
    (whole_site.project.folder / "recorded").unlink(missing_ok=True)
    yield whole_site
    print("\n".join(process.output() for process in whole_site.project.processes))


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A server for the module."""
    with RedisServer() as server:
        yield server


def test_three_servers_send_every_message_once_and_none_waits_for_the_next_look(site):
    site.have_servers(3)

    for number in range(60):
        site.schedule(number, "send_later" if number % 2 else "protocol", number * 10)
    wait_until(lambda: len(site.recorded()) == 60, timeout=30)
    site.schedule(60, "send_later", 3_000_000)
    site.schedule(61, "protocol", 3_000_000)
    site.schedule(62, "send_later", 100)
    site.schedule(63, "protocol", 100)
    wait_until(lambda: len(site.recorded()) == 62, timeout=30)

    assert site.recorded() == Counter([*range(60), 62, 63])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_in_order(site, number):
    site.have_servers(1)
    server = site.servers[0]

    server.signal(number)

    assert server.wait() == 0
    assert "The delay server has stopped." in server.output()
    assert "Traceback" not in server.output()


def test_others_send_what_a_server_had_accepted_that_was_killed(site):
    site.have_servers(3)
    for number in range(30):
        site.schedule(number, "protocol", 5000)
    for number in range(30, 60):
        site.schedule(number, "protocol", 1)
    wait_until(lambda: site.stored() == 30 and len(site.recorded()) == 30, timeout=30)

    for server in site.servers[:2]:
        server.signal(signal.SIGKILL)

    wait_until(lambda: len(site.recorded()) == 60, timeout=30)
    assert site.recorded() == Counter(range(60))
