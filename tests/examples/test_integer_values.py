"""Data binding in a browser: two pages that show and change the same values."""

from tests.examples.pages import connected, fill, open_tab, picture
from tests.examples.values_page import click, shown
from tests.waiting import wait_until

EXAMPLE = "integer_values"
DEPLOYMENTS = [("sqlite", "redis"), ("postgresql", "ipc")]

CHANGE = """
from values.models import IntegerValue
value = IntegerValue.objects.get(name="apples")
value.value = 7
value.save()
"""


def test_both_pages_show_what_either_changes(browser, site):
    # Given two pages
    browser.get(site.url())
    connected(browser)
    first = browser.current_window_handle
    second = open_tab(browser, site.url())
    connected(browser)

    def see(*values):
        for page in (first, second):
            browser.switch_to.window(page)
            wait_until(lambda: sorted(shown(browser)) == [*values])

    # When one adds values, then both show them
    fill(browser, "#new [name=name]", "apples")
    see(["apples", "0"])
    fill(browser, "#new [name=name]", "<pears>")
    see(["<pears>", "0"], ["apples", "0"])

    # When either counts, then both show it
    browser.switch_to.window(first)
    click(browser, "apples", ".more")
    see(["<pears>", "0"], ["apples", "1"])
    browser.switch_to.window(second)
    click(browser, "apples", ".more")
    see(["<pears>", "0"], ["apples", "2"])
    click(browser, "<pears>", ".less")
    see(["<pears>", "-1"], ["apples", "2"])
    picture(browser, "integer_values")

    # When something else in the project changes a value, then both show it
    assert site.run("manage.py", "shell", "-v", "0", "-c", CHANGE).wait(60) == 0
    see(["<pears>", "-1"], ["apples", "7"])

    # When one is deleted, then both forget it; and a name that is taken is not added again
    click(browser, "<pears>", ".delete")
    see(["apples", "7"])
    fill(browser, "#new [name=name]", "apples")
    fill(browser, "#new [name=name]", "plums")
    see(["apples", "7"], ["plums", "0"])
