"""The commands' logging to the terminal."""

import io
import logging
from collections.abc import Iterator

import pytest

from channels import log
from tests.loggers import put_back

NAMES = (
    "channels.tests.command",
    "daphne.ws_protocol",
    "daphne.http_protocol",
    "daphne.server",
)


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The loggers as they were, after each test."""
    with put_back(*NAMES):
        yield


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to a handler that was put in the place of the module's."""
    stream = io.StringIO()
    monkeypatch.setattr(log, "handler", logging.StreamHandler(stream))
    return stream


def test_lines_have_time_level_module_and_text(stream: io.StringIO) -> None:
    log.setup_logger(NAMES[0]).info("started %d", 5)
    assert stream.getvalue().endswith(" - INFO - test_log - started 5\n")


@pytest.mark.parametrize("name", NAMES)
def test_daphnes_loggers_write_to_the_same_place(stream: io.StringIO, name: str) -> None:
    log.setup_logger(NAMES[0])
    logging.getLogger(name).info("a line")
    assert stream.getvalue().count("a line") == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("verbosity", "level"),
    [(0, logging.INFO), (1, logging.INFO), (2, logging.DEBUG), (3, logging.DEBUG)],
)
def test_verbosity_chooses_the_level(name: str, verbosity: int, level: int) -> None:
    log.setup_logger(NAMES[0], verbosity)
    assert logging.getLogger(name).level == level
    assert logging.getLogger(name).propagate is False


def test_a_second_set_up_repeats_no_line(stream: io.StringIO) -> None:
    log.setup_logger(NAMES[0])
    log.setup_logger(NAMES[0]).info("a line")
    assert stream.getvalue().count("a line") == 1
