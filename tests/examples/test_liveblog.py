"""The live blog in a browser: who writes and who reads."""

from selenium.webdriver.common.by import By

from tests.examples.pages import connected, fill, open_tab, picture, texts
from tests.waiting import wait_until

EXAMPLE = "liveblog"
DEPLOYMENTS = [("sqlite", "redis"), ("postgresql", "ipc")]


def test_readers_see_posts_as_they_are_written_changed_and_deleted(browser, site):
    # Given a blog that somebody reads
    browser.get(site.url())
    fill(browser, "[name=title], [name=slug]", "Moon landing", "moon")
    wait_until(lambda: browser.current_url == site.url("/liveblog/moon/write/"))
    writer = browser.current_window_handle
    reader = open_tab(browser, site.url("/liveblog/moon/"))
    connected(browser)

    def write(selector, *values):
        browser.switch_to.window(writer)
        fill(browser, selector, *values)

    def reads(*posts):
        browser.switch_to.window(reader)
        wait_until(lambda: shown(browser) == [*posts])

    # When posts are written, then they appear without a reload, the newest on top
    write("#new [name=text]", "The <b>Eagle</b> has undocked")
    reads("The <b>Eagle</b> has undocked")
    write("#new [name=text]", "Contact light")
    reads("Contact light", "The <b>Eagle</b> has undocked")
    picture(browser, "liveblog")

    # When one is changed and the other deleted, then readers see that
    write(".post:last-child [name=text]", "The Eagle has landed")
    reads("Contact light", "The Eagle has landed")
    browser.switch_to.window(writer)
    browser.find_element(By.CSS_SELECTOR, ".post [name=delete]").click()
    reads("The Eagle has landed")

    # And who comes later sees the same
    open_tab(browser, site.url("/liveblog/moon/"))
    connected(browser)
    wait_until(lambda: shown(browser) == ["The Eagle has landed"])


def shown(browser):
    """The posts of the page, without their times."""
    return [text.split("\n")[-1] for text in texts(browser, "#posts li")]
