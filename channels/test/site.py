"""A live site: Daphne and workers in processes of their own, on the layer that TEST_CONFIG makes.

``ChannelLiveServerTestCase`` and the fixture ``channels_live_server`` are what tests use.
"""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test.signals import setting_changed

from channels import DEFAULT_CHANNEL_LAYER
from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.test.environment import Environment
from channels.test.processes import LiveServerProcess, ProtocolServerProcess, WorkerProcess

__all__ = ["LiveSite"]


class LiveSite:
    """The processes and the layer. ``user`` names who wants them, in errors.

    Raises ``ImproperlyConfigured`` or ``InvalidChannelLayerError`` for a project that cannot be
    served so.
    """

    def __init__(
        self,
        user: str,
        host: str = "localhost",
        worker_threads: int = 1,
        serve_static: bool = True,
        server_class: type[LiveServerProcess] = ProtocolServerProcess,
        worker_class: type[LiveServerProcess] = WorkerProcess,
    ) -> None:
        _check_layers(user)
        _check_databases(user)
        self.host = host
        self.layer = channel_layers.make_test_backend(DEFAULT_CHANNEL_LAYER)
        if self.layer.local_only():
            raise ImproperlyConfigured(
                f"{user} needs a channel layer that processes share, and {self.layer} is within "
                "one process; override CHANNEL_LAYERS for it with another BACKEND"
            )
        for_server, for_workers = self._environments()
        options: Mapping[str, Any] = {"host": host}
        self.server = server_class(for_server, options)
        options = {"n_threads": worker_threads, "serve_static": serve_static}
        self.workers = worker_class(for_workers, options)
        self._earlier: ChannelLayerWrapper | None = None
        self._serves = False

    @property
    def url(self) -> str:
        """Where browsers find it, without a slash at the end."""
        return f"http://{self._netloc}"

    @property
    def ws_url(self) -> str:
        """The same for WebSockets."""
        return f"ws://{self._netloc}"

    @property
    def _netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.server.ready['port']}"

    def start(self) -> None:
        """Serve, on an empty layer, which until ``stop`` is the default one of this process too.

        Raises ``LiveServerError`` where a process cannot.
        """
        self._renew()
        self._take_layers_place()
        if self.layer.supports("flush"):
            self.layer.flush()
        self._start(self.server, self.workers)

    def _start(self, *processes: LiveServerProcess) -> None:
        try:
            for process in processes:
                process.begin_start()
            for process in processes:
                process.finish_start()
        except BaseException:
            self._give_layers_place_back()
            for process in (self.server, self.workers):
                process.kill()
            raise

    def stop(self) -> None:
        """Let running consumers finish, and close all sockets.

        What is on the layer is no more handled. Raises ``LiveServerError`` where a process has
        ended by itself.
        """
        self._give_layers_place_back()
        try:
            self.workers.stop()
        finally:
            self.server.stop()

    def close(self) -> None:
        """End the processes."""
        self._give_layers_place_back()
        self.layer.close()
        try:
            self.server.end()
        finally:
            self.workers.end()

    # Settings

    def _environments(self) -> tuple[Environment, Environment]:
        """Those of the server and of the workers, by the settings at this moment."""
        hosts = [*settings.ALLOWED_HOSTS, self.host]
        return (
            Environment.here(ALLOWED_HOSTS=hosts, CHANNEL_LAYERS=_without_routing()),
            Environment.here(ALLOWED_HOSTS=hosts),
        )

    def _renew(self) -> list[LiveServerProcess]:
        """End the processes that have other settings; those that served, and are to be started."""
        both = zip((self.server, self.workers), self._environments(), strict=True)
        return [process for process, environment in both if process.renew(environment)]

    def _setting_changed(self, setting: str, enter: bool, **kwargs: Any) -> None:
        """Have the processes follow what a test overrides; what it overrides together is one."""
        if setting != "CHANNEL_LAYERS":
            self._start(*self._renew())
        elif enter:
            raise ImproperlyConfigured(
                "CHANNEL_LAYERS cannot be overridden while a live server runs on a layer; override "
                "it for the class, or before the fixture"
            )

    def _take_layers_place(self) -> None:
        self._earlier = channel_layers.set(DEFAULT_CHANNEL_LAYER, self.layer)
        self._serves = True
        setting_changed.connect(self._setting_changed)

    def _give_layers_place_back(self) -> None:
        if self._serves:
            self._serves = False
            setting_changed.disconnect(self._setting_changed)
            channel_layers.set(DEFAULT_CHANNEL_LAYER, self._earlier)


def _check_layers(user: str) -> None:
    aliases = list(channel_layers.configs)
    if len(aliases) > 1:
        raise ImproperlyConfigured(
            f"{user} works with one channel layer, and CHANNEL_LAYERS has {len(aliases)}: "
            f"{', '.join(map(repr, aliases))}; override the setting for it"
        )


def _check_databases(user: str) -> None:
    for connection in connections.all():
        if connection.vendor == "sqlite" and connection.is_in_memory_db():  # type: ignore[attr-defined]
            alias = connection.alias
            raise ImproperlyConfigured(
                f"{user} cannot be used with the database {alias!r}, which is in memory: each "
                f"process would have another one. Give it a file while tests run: "
                f"DATABASES[{alias!r}]['TEST'] = {{'NAME': 'testdb.sqlite3'}}"
            )


def _without_routing() -> dict[str, Any]:
    """CHANNEL_LAYERS for the interface server, which imports nothing of the project."""
    return {
        alias: {key: value for key, value in config.items() if key != "ROUTING"} | {"ROUTING": []}
        for alias, config in channel_layers.configs.items()
    }
