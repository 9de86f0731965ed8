"""Configures Django once for the whole run, and says which engines and servers it uses."""

import fnmatch
import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402  (the settings module is named above)

django.setup()

from channels import _speedups  # noqa: E402
from tests.implementations import Implementation  # noqa: E402
from tests.servers.programs import find_program  # noqa: E402

#: On a busy machine any example may take long.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

#: The Debian package of each program that tests start.
PACKAGES = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "curl": "curl",
    "h2load": "nghttp2-client",
    "haproxy": "haproxy",
    "nghttp": "nghttp2-client",
    "nginx": "nginx",
    "postgres": "postgresql",
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "systemd-analyze": "systemd",
}

#: Tests that run over the compiled engine only: of parts that take no compiled module themselves,
#: as the contract "one-engine" in pyproject.toml holds. All that they reach of one goes through
#: routing and layers, which run over both. Of the layers, RabbitMQ's takes nothing but the codec.
#: The frames of WebSockets are Daphne's one compiled module; ``BOTH_ENGINES`` are the tests of it.
ONE_ENGINE = (
    "daphne/*",
    "interfaces/*",
    "layers/rabbitmq/*",
    "management/*",
    "test/*",
    "worker/*",
    "test_browser.py",
    "test_handler_*.py",
    "test_staticfiles.py",
)
BOTH_ENGINES = ("daphne/protocol/test_websocket*.py", "daphne/test_server_websocket.py")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*programs): programs that the test starts")


def pytest_collection_finish() -> None:
    """Have no collection of garbage look at what lives as long as the run: ten thousand tests."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> list[str]:
    """Which engines and which servers this run uses."""
    engine = "compiled" if _speedups.COMPILED else "pure Python"
    found = {program: find_program(program) or "missing" for program in PACKAGES}
    return [
        f"engine: {engine}",
        "servers: " + ", ".join(f"{program} {path}" for program, path in found.items()),
    ]


#: Tests that cover ``daphne.protocol`` by themselves, every branch of it, but for those that are
#: marked with ``costs``.
SANS_IO = ("daphne/protocol/*",)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what the pure run would only repeat: one engine's tests, and those of both forms.

    And those that measure coverage.
    """
    if _is_one_of(SANS_IO, item) and item.get_closest_marker("costs") is None:
        item.add_marker("measured")
    assert " at 0x" not in item.nodeid, f"{item.nodeid} differs in each process: name it by ids="
    parameters = getattr(item, "callspec", None)
    if (_is_one_of(ONE_ENGINE, item) and not _is_one_of(BOTH_ENGINES, item)) or (
        parameters is not None
        and any(isinstance(value, Implementation) for value in parameters.params.values())
    ):
        item.add_marker("compiled_only")


def _is_one_of(patterns: tuple[str, ...], item: pytest.Item) -> bool:
    path = str(item.path.relative_to(Path(__file__).parent))
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or in CI fail, a test whose programs are missing."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if find_program(program) is None:
                reason = f"{program} is missing: apt-get install {PACKAGES[program]}"
                (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
