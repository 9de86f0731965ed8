"""``ChannelLiveServerTestCase``: tests of a whole site, with a browser or any other client.

The processes are in ``processes`` and ``services``, what they have in common in ``site``.
"""

from typing import Any, ClassVar

from django.test import TransactionTestCase, modify_settings
from django.utils.functional import classproperty

from channels.test.processes import LiveServerProcess, ProtocolServerProcess, WorkerProcess
from channels.test.site import LiveSite

__all__ = ["ChannelLiveServerTestCase"]


class ChannelLiveServerTestCase(TransactionTestCase):
    """Serves the project by Daphne and workers, in processes that run while a test does.

    They work on the test database, which must not be in memory, and on the layer that
    ``TEST_CONFIG`` makes, which is emptied before each test; the test's own process uses it too.
    What one test leaves behind, such as open sockets and unread messages, does not reach the next.
    Settings that are overridden hold in the processes: for the class, for a test or within one,
    where the processes are started anew, which takes a second and closes open sockets. The
    processes end with the tests of the class, or with the test run, however it ends.
    """

    #: The name by which browsers reach the site; its first address is listened on.
    host: ClassVar[str] = "localhost"

    #: The processes, which may be subclasses with services of their own.
    ProtocolServerProcess: ClassVar[type[LiveServerProcess]] = ProtocolServerProcess
    WorkerProcess: ClassVar[type[LiveServerProcess]] = WorkerProcess

    #: The number of consumers that run at a time.
    worker_threads: ClassVar[int] = 1

    #: Whether static files are served, where ``django.contrib.staticfiles`` is installed.
    serve_static: ClassVar[bool] = True

    #: The processes and the layer, of this class and no other.
    site: ClassVar[LiveSite]

    @classproperty
    def live_server_url(cls) -> str:  # noqa: N805
        """The address of the site, such as ``http://localhost:43210``."""
        return cls.site.url

    @classproperty
    def live_server_ws_url(cls) -> str:  # noqa: N805
        """The same for WebSockets, ``ws://localhost:43210``."""
        return cls.site.ws_url

    # A class method as Django's, which calls it from setUpClass for the first test.
    @classmethod
    def _pre_setup(cls) -> None:
        super()._pre_setup()  # type: ignore[misc]  # Django's stubs leave it out
        if "site" not in vars(cls):
            cls.enterClassContext(modify_settings(ALLOWED_HOSTS={"append": cls.host}))
            cls.site = LiveSite(
                cls.__name__,
                cls.host,
                cls.worker_threads,
                cls.serve_static,
                cls.ProtocolServerProcess,
                cls.WorkerProcess,
            )
            cls.addClassCleanup(cls._close_site)
        cls.site.start()

    def _post_teardown(self) -> None:
        try:
            self.site.stop()
        finally:
            super()._post_teardown()  # type: ignore[misc]  # as above

    @classmethod
    def _close_site(cls) -> None:
        site: Any = cls.site
        del cls.site
        site.close()
