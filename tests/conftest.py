"""Configures Django once for the whole run, and says which engines and servers it uses."""

import os
import shutil

import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402  (the settings module is named above)

django.setup()

from channels import _speedups  # noqa: E402

#: The Debian package of each program that tests start.
PACKAGES = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "nginx": "nginx",
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*programs): programs that the test starts")


def pytest_report_header() -> list[str]:
    """Which engines and which servers this run uses."""
    engine = "compiled" if _speedups.COMPILED else "pure Python"
    found = {program: shutil.which(program) or "missing" for program in PACKAGES}
    return [
        f"engine: {engine}",
        "servers: " + ", ".join(f"{program} {path}" for program, path in found.items()),
    ]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or in CI fail, a test whose programs are missing."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if shutil.which(program) is None:
                reason = f"{program} is missing: apt-get install {PACKAGES[program]}"
                (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
