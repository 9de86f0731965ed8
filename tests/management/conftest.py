"""Fixtures of the management commands' tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.loggers import put_back
from tests.management.project import Project


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The loggers that a command sets up to write to the terminal, as they were afterwards."""
    with put_back("django.channels", "daphne.http_protocol", "daphne.server", "daphne.ws_protocol"):
        yield


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Makes a project with further lines of settings; its processes end with the test."""
    projects: list[Project] = []

    def make(settings: str = "") -> Project:
        projects.append(Project(tmp_path, settings))
        return projects[-1]

    yield make
    for project in projects:
        project.end()


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One project for the tests of a module that only look at it."""
    project = Project(tmp_path_factory.mktemp("project"))
    yield project
    project.end()
