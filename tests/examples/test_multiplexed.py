"""The multiplexed page in a browser: three streams over one socket."""

from selenium.webdriver.common.by import By

from tests.examples.pages import connected, fill, open_tab, picture, texts
from tests.waiting import wait_until

EXAMPLE = "multiplexed"
DEPLOYMENTS = [("sqlite", "ipc"), ("postgresql", "redis")]


def test_tasks_talk_and_presence_share_a_socket(browser, site):
    # Given two pages, which know of each other
    browser.get(site.url())
    connected(browser)
    first = browser.current_window_handle
    wait_until(lambda: texts(browser, "#here") == ["1"])
    second = open_tab(browser, site.url())
    connected(browser)

    def see(selector, *expected):
        for page in (first, second):
            browser.switch_to.window(page)
            wait_until(lambda: texts(browser, selector) == [*expected])

    see("#here", "2")

    # When one adds tasks, talks, and ticks a task off, then both show it
    fill(browser, "#task [name=text]", "Buy tea")
    see("#tasks li", "Buy tea")
    fill(browser, "#task [name=text]", "Buy <milk>")
    see("#tasks li", "Buy tea", "Buy <milk>")
    fill(browser, "#say [name=text]", "Who <i>goes</i>?")
    see("#talk li", "Who <i>goes</i>?")
    browser.find_element(By.CSS_SELECTOR, "#tasks input").click()
    see("#tasks .done", "Buy tea")
    picture(browser, "multiplexed")

    # When one goes and another comes, then it has the tasks, and the one that stayed knew
    browser.close()
    browser.switch_to.window(first)
    wait_until(lambda: texts(browser, "#here") == ["1"])
    second = open_tab(browser, site.url())
    see("#here", "2")
    see("#tasks li", "Buy tea", "Buy <milk>")
    assert texts(browser, "#tasks .done") == ["Buy tea"]
