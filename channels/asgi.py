"""The configured channel layers: from the setting ``CHANNEL_LAYERS`` to layer objects.

A process has one object for each alias, whichever thread asks for it. ``get_channel_layer`` is for
``asgi.py`` files and interface servers: it imports no routing and no consumer, which a wrapper does
when its router is first asked for. The layers themselves are in ``channels.layers``.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured

from channels import DEFAULT_CHANNEL_LAYER
from channels.exceptions import InvalidChannelLayerError, LayerNotInstalled
from channels.layers.extensions import require_extension
from channels.routing import Router, import_dotted

__all__ = [
    "BACKEND_ALIASES",
    "ChannelLayerManager",
    "ChannelLayerWrapper",
    "InvalidChannelLayerError",
    "channel_layers",
    "get_channel_layer",
    "import_backend",
    "require_extension",
]

#: BACKEND strings of 1.x, documented and in use, and the classes that they stand for now.
BACKEND_ALIASES = {
    "asgiref.inmemory.ChannelLayer": "channels.layers.inmemory.ChannelLayer",
    "asgi_redis.RedisChannelLayer": "channels.layers.redis.RedisChannelLayer",
    "asgi_redis.core.RedisChannelLayer": "channels.layers.redis.RedisChannelLayer",
    "asgi_redis.RedisLocalChannelLayer": "channels.layers.redis.RedisLocalChannelLayer",
    "asgi_redis.local.RedisLocalChannelLayer": "channels.layers.redis.RedisLocalChannelLayer",
    "asgi_redis.RedisSentinelChannelLayer": "channels.layers.redis.RedisSentinelChannelLayer",
    "asgi_redis.sentinel.RedisSentinelChannelLayer": (
        "channels.layers.redis.RedisSentinelChannelLayer"
    ),
    "asgi_ipc.IPCChannelLayer": "channels.layers.ipc.IPCChannelLayer",
    "asgi_ipc.core.IPCChannelLayer": "channels.layers.ipc.IPCChannelLayer",
    "asgi_rabbitmq.RabbitmqChannelLayer": "channels.layers.rabbitmq.RabbitmqChannelLayer",
    "asgi_rabbitmq.RabbitmqLocalChannelLayer": "channels.layers.rabbitmq.RabbitmqLocalChannelLayer",
}


class ChannelLayerWrapper:
    """A channel layer together with its alias and its routing.

    Whatever a wrapper does not define itself is the layer's (``send``, ``receive``, ``extensions``
    ...). ``routing`` and ``router`` may be assigned; a new routing gives a new router.
    """

    def __init__(self, channel_layer: Any, alias: str, routing: Any) -> None:
        self.channel_layer = channel_layer
        self.alias = alias
        self._lock = threading.RLock()  # a routing module may itself ask for the router
        self._routing = routing
        self._router: Router | None = None

    @property
    def routing(self) -> Any:
        """What ROUTING holds: a dotted path, a list or a dict."""
        return self._routing

    @routing.setter
    def routing(self, routing: Any) -> None:
        with self._lock:  # a router of the old one may be in the making
            self._routing = routing
            self._router = None

    @property
    def router(self) -> Router:
        """The ``Router`` of ``routing``; the first use imports it, and the consumers that it names.

        Raises ``ImproperlyConfigured`` or ``ValueError`` for what is wrong in it.
        """
        router = self._router
        if router is None:
            with self._lock:
                if self._router is None:
                    self._router = Router(self._routing)
                router = self._router
        return router

    @router.setter
    def router(self, router: Router) -> None:
        self._router = router

    @contextmanager
    def routed(self, routing: Any) -> Iterator[None]:
        """A context in which ``routing`` takes the place of the layer's own.

        Raises what ``router`` does.
        """
        router = Router(routing)
        with self._lock:
            earlier = self._routing, self._router
            self._routing, self._router = routing, router
        try:
            yield
        finally:
            with self._lock:
                self._routing, self._router = earlier

    def local_only(self) -> bool:
        """Whether the layer's messages cannot leave this process."""
        return bool(getattr(self.channel_layer, "is_local", False))

    def __getattr__(self, name: str) -> Any:
        if name == "channel_layer":  # not set yet, as while copying: nothing to delegate to
            raise AttributeError(name)
        return getattr(self.channel_layer, name)

    def __str__(self) -> str:
        kind = type(self.channel_layer)
        return f"{self.alias} ({kind.__module__}.{kind.__qualname__})"


class ChannelLayerManager:
    """The wrappers of the configured layers by alias, each made once, when first asked for.

    A wrapper that was made stays, whatever becomes of the settings, until ``set`` replaces or
    removes it: it may hold messages, and threads wait on it.
    """

    def __init__(self) -> None:
        self._wrappers: dict[str, ChannelLayerWrapper] = {}
        self._lock = threading.RLock()  # a backend's module may itself ask for another layer

    @property
    def configs(self) -> Mapping[str, Any]:
        """The setting ``CHANNEL_LAYERS`` as it is now; empty where the project has none."""
        configs = getattr(settings, "CHANNEL_LAYERS", None) or {}
        if not isinstance(configs, Mapping):
            raise InvalidChannelLayerError(
                f"CHANNEL_LAYERS must be a dict of alias to layer, not {type(configs).__name__}"
            )
        return configs

    @property
    def backends(self) -> dict[str, ChannelLayerWrapper]:
        """The wrappers made so far, by alias."""
        return self._wrappers

    def make_backend(self, name: str) -> ChannelLayerWrapper:
        """A new wrapper and layer from the configuration of alias ``name``, with its CONFIG.

        Raises ``InvalidChannelLayerError``, also where CHANNEL_LAYERS has no such alias,
        ``UnsupportedExtension`` where the layer lacks one that CHANNELS_REQUIRED_EXTENSIONS names,
        and ``ImproperlyConfigured`` where the layer cannot work on this system.
        """
        config = self._config(name)
        return self._make(name, config, "CONFIG", _is_test_or_debug())

    def make_test_backend(self, name: str) -> ChannelLayerWrapper:
        """As ``make_backend``, with TEST_CONFIG, which must be there. It is nobody else's."""
        config = self._config(name)
        if "TEST_CONFIG" not in config:
            raise InvalidChannelLayerError(
                f"CHANNEL_LAYERS[{name!r}] has no TEST_CONFIG; add the CONFIG that tests shall use"
            )
        return self._make(name, config, "TEST_CONFIG", may_drop=True)

    def set(self, alias: str, layer: ChannelLayerWrapper | None) -> ChannelLayerWrapper | None:
        """Put ``layer`` in the place of ``alias`` and return the one that was there.

        None removes it, so that the next use makes one from the settings.
        """
        with self._lock:
            old = self._wrappers.pop(alias, None)
            if layer is not None:
                self._wrappers[alias] = layer
        return old

    def __getitem__(self, alias: str) -> ChannelLayerWrapper:
        wrapper = self._wrappers.get(alias)
        if wrapper is None:
            with self._lock:
                if alias not in self._wrappers:
                    self._wrappers[alias] = self.make_backend(alias)
                wrapper = self._wrappers[alias]
        return wrapper

    def __contains__(self, alias: object) -> bool:
        return alias in self.configs

    def _config(self, name: str) -> Mapping[str, Any]:
        configs = self.configs
        if not configs:
            raise InvalidChannelLayerError(
                f"there is no channel layer {name!r}: the setting CHANNEL_LAYERS is missing; "
                'add CHANNEL_LAYERS = {"default": {"BACKEND": ..., "ROUTING": ...}}'
            )
        if name not in configs:
            raise InvalidChannelLayerError(
                f"there is no channel layer {name!r}; CHANNEL_LAYERS has "
                f"{', '.join(map(repr, configs))}"
            )
        config = configs[name]
        if not isinstance(config, Mapping):
            raise InvalidChannelLayerError(
                f"CHANNEL_LAYERS[{name!r}] must be a dict with BACKEND and ROUTING, not {config!r}"
            )
        return config

    def _make(
        self, name: str, config: Mapping[str, Any], arguments: str, may_drop: bool
    ) -> ChannelLayerWrapper:
        """A wrapper and layer of ``config``, whose key ``arguments`` has the layer's options."""
        for key in ("BACKEND", "ROUTING"):
            if key not in config:
                raise InvalidChannelLayerError(f"CHANNEL_LAYERS[{name!r}] has no {key}; add it")
        backend = import_backend(name, config["BACKEND"])
        options = config.get(arguments) or {}
        if not isinstance(options, Mapping):
            raise InvalidChannelLayerError(
                f"{arguments} of CHANNEL_LAYERS[{name!r}] must be a dict of the layer's options, "
                f"not a {type(options).__name__}"
            )
        try:
            layer = backend(**options)
        except LayerNotInstalled as error:
            raise ImproperlyConfigured(f"CHANNEL_LAYERS[{name!r}]: {error}") from error
        except (TypeError, ValueError) as error:
            raise InvalidChannelLayerError(
                f"CHANNEL_LAYERS[{name!r}]: {config['BACKEND']} does not take this {arguments}: "
                f"{error}"
            ) from error
        if getattr(layer, "drop_rate", 0) and not may_drop:
            raise InvalidChannelLayerError(
                f"CHANNEL_LAYERS[{name!r}]: drop_rate loses messages on purpose and is for DEBUG "
                "and tests; remove it"
            )
        wrapper = ChannelLayerWrapper(layer, name, config["ROUTING"])
        for extension in _required_extensions(name):
            require_extension(wrapper, extension, "the setting CHANNELS_REQUIRED_EXTENSIONS")
        return wrapper


def import_backend(name: str, path: Any) -> Any:
    """The class that BACKEND ``path`` of alias ``name`` means.

    Raises ``InvalidChannelLayerError``.
    """
    if not isinstance(path, str):
        raise InvalidChannelLayerError(
            f"BACKEND of CHANNEL_LAYERS[{name!r}] must be a dotted path in a str, not {path!r}"
        )
    target = BACKEND_ALIASES.get(path, path)
    try:
        backend = import_dotted(target)
    except ImportError as error:
        shown = repr(path) if path == target else f"{path!r} (now {target!r})"
        raise InvalidChannelLayerError(
            f"cannot import BACKEND {shown} of CHANNEL_LAYERS[{name!r}]: {error}"
        ) from error
    if not callable(backend):
        raise InvalidChannelLayerError(
            f"BACKEND {path!r} of CHANNEL_LAYERS[{name!r}] is no class, but {backend!r}"
        )
    return backend


def _is_test_or_debug() -> bool:
    """Whether losing messages on purpose harms nobody; a mail outbox is the mark of a test run."""
    return bool(settings.DEBUG) or hasattr(mail, "outbox")


def _required_extensions(alias: str) -> Iterable[str]:
    """What CHANNELS_REQUIRED_EXTENSIONS, a list or a dict of lists by alias, demands."""
    required = getattr(settings, "CHANNELS_REQUIRED_EXTENSIONS", ())
    if isinstance(required, Mapping):
        required = required.get(alias, ())
    if isinstance(required, str) or not isinstance(required, Iterable):
        raise ImproperlyConfigured(
            "CHANNELS_REQUIRED_EXTENSIONS must be a list of extensions, or a dict of alias to such "
            f"lists, not {required!r}"
        )
    return required


#: The layers of this process.
channel_layers = ChannelLayerManager()


def get_channel_layer(alias: str = DEFAULT_CHANNEL_LAYER) -> Any:
    """The channel layer itself for ``asgi.py`` files and scripts, with Django set up for it.

    Nothing of the project's routing is imported. Raises ``InvalidChannelLayerError``.
    """
    if not (apps.ready or apps.loading):  # an app may ask while Django is being set up
        django.setup(set_prefix=False)
    return channel_layers[alias].channel_layer
