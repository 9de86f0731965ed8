"""Pages whose servers die: two browsers, which show and change the same values."""

import signal
from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.browsers import headless_chromium
from tests.examples.pages import connected, fill, picture, texts
from tests.examples.values_page import click, shown
from tests.waiting import wait_until

EXAMPLE = "integer_values"
DEPLOYMENTS = [("sqlite", "redis")]

MEANWHILE = """
from values.models import IntegerValue
IntegerValue.objects.create(name="figs", value=3)
IntegerValue.objects.filter(name="cherries").delete()
"""

#: Has a page keep the states that it tells of from now on.
WATCH = """
window.states = [];
const show = bridge.onstatus;
bridge.onstatus = (status) => { states.push(status.state); show(status); };
"""


@pytest.fixture
def browsers(browser, tmp_path_factory) -> Iterator[list[webdriver.Chrome]]:
    """Two browsers."""
    with headless_chromium(tmp_path_factory.mktemp("other")) as other:
        yield [browser, other]


def test_pages_come_back_when_daphne_was_killed(browsers, site):
    # Given two pages that show the same
    first, _ = browsers
    enter(browsers, site)
    for name in ("apples", "cherries"):
        fill(first, "#new [name=name]", name)
    see(browsers, apples=0, cherries=0)

    # When Daphne is killed, then both say so
    site.daphne.signal(signal.SIGKILL)
    for page in browsers:
        wait_until(lambda page=page: texts(page, "#status") == ["reconnecting"])
    picture(first, "reconnecting")

    # When one goes on meanwhile, and things happen that neither hears of, then both catch up
    for name in ("pears", "plums"):
        fill(first, "#new [name=name]", name)
    click(first, "apples", ".more")
    assert site.run("manage.py", "shell", "-v", "0", "-c", MEANWHILE).wait(60) == 0
    site.start_daphne()
    for page in browsers:
        connected(page)
    see(browsers, apples=1, figs=3, pears=0, plums=0, cherries=None)

    # And it was only the connection that failed
    for page in browsers:
        errors = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
        assert [
            entry for entry in errors if "WebSocket connection to" not in entry["message"]
        ] == []


def test_pages_do_not_notice_that_workers_are_replaced(browsers, site):
    first, second = browsers
    enter(browsers, site)
    fill(first, "#new [name=name]", "dates")
    wait_until(lambda: "dates" in texts(second, ".name"))
    for page in browsers:
        page.execute_script(WATCH)

    for number, how in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
        site.worker.signal(how)
        site.worker.wait()
        click(second, "dates", ".more")
        site.start_worker()
        see(browsers, dates=number)

    for page in browsers:
        assert page.execute_script("return states") == []


def enter(browsers, site):
    """Open the page in each."""
    for page in browsers:
        page.get(site.url())
        connected(page)


def see(browsers, **values):
    """Wait until each shows these values, or none of that name."""
    for page in browsers:
        for name, value in values.items():
            wait_until(lambda page=page, name=name, value=value: value_of(page, name) == value)


def value_of(page, name):
    """The value that a page shows under a name, if it shows any."""
    value = dict(shown(page)).get(name)
    return value and int(value)
