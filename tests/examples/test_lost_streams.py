"""The multiplexed page when its server dies."""

import signal

from tests.examples.pages import connected, fill, texts
from tests.waiting import wait_until

EXAMPLE = "multiplexed"
DEPLOYMENTS = [("sqlite", "ipc")]


def test_streams_go_on_when_daphne_was_killed(browser, site):
    # Given a page whose Daphne is killed
    browser.get(site.url())
    connected(browser)
    fill(browser, "#task [name=text]", "Before")
    wait_until(lambda: "Before" in texts(browser, "#tasks li"))
    earlier = texts(browser, "#tasks li")
    site.daphne.signal(signal.SIGKILL)
    wait_until(lambda: texts(browser, "#status") == ["reconnecting"])

    # When it goes on meanwhile on two streams, and Daphne is back
    fill(browser, "#task [name=text]", "Meanwhile")
    fill(browser, "#say [name=text]", "Is anybody there?")
    site.start_daphne()
    connected(browser)

    # Then each stream has what was sent to it, once
    wait_until(lambda: texts(browser, "#talk li") == ["Is anybody there?"])
    wait_until(lambda: texts(browser, "#tasks li") == [*earlier, "Meanwhile"])
    browser.get_log("browser")  # the attempts that failed
