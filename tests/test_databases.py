"""Tests of the databases of tests, which fixtures of several folders have open at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.contrib.auth.models import User

from tests.databases import made_databases
from tests.delay.databases import configured


def names() -> set[str]:
    return set(User.objects.values_list("username", flat=True))


def test_databases_in_memory_and_in_files_may_be_open_inside_of_each_other(tmp_path: Path) -> None:
    with made_databases():
        User.objects.create_user("outer")
        with made_databases():
            assert "outer" in names()
        with made_databases(tmp_path / "test.sqlite3"):
            assert names() == set()
            User.objects.create_user("in a file")
            with made_databases():
                assert names() == set()
            assert names() == {"in a file"}
        assert names() == set()


@contextmanager
def open_in_another_thread() -> Iterator[None]:
    """A thread that has the database open."""
    opened, ended = threading.Event(), threading.Event()

    def hold() -> None:
        names()
        opened.set()
        ended.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    opened.wait()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_databases_of_other_aliases_are_left_alone(tmp_path: Path) -> None:
    nowhere = {"ENGINE": "django.db.backends.postgresql", "NAME": "x" * 64, "PORT": 1}
    with configured(nowhere, alias="nowhere"), made_databases(tmp_path / "test.sqlite3"):
        assert names() == set()


def test_one_in_memory_is_fresh_though_a_thread_has_the_one_before_open(tmp_path: Path) -> None:
    with made_databases():
        User.objects.create_user("outer")
        with open_in_another_thread(), made_databases(tmp_path / "test.sqlite3"), made_databases():
            assert names() == set()
