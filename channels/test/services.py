"""What runs in the processes of a live server: Daphne, and workers.

A process loads the test run's environment, then starts and stops its service at each command. The
commands come on standard input; when that ends, the test run is over, and so is the process.
"""

import json
import logging
import os
import pickle
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.utils.module_loading import import_string

from channels import DEFAULT_CHANNEL_LAYER
from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.log import handler, setup_logger
from channels.test.environment import Environment

__all__ = ["ProtocolServer", "Service", "Workers", "main"]

#: Seconds after the end of the test run within which a process has to end.
_LAST_SECONDS = 5.0

#: Seconds that Daphne's open connections have to finish when it is stopped.
_SHUTDOWN_TIMEOUT = 1.0


class Service:
    """Something that a process runs: it is started, stopped, and started again.

    ``load`` and ``main`` are called in the main thread, the others in the one that has the
    commands.
    """

    def __init__(self, environment: Environment, options: dict[str, Any]) -> None:
        self.environment = environment
        self.options = options

    def load(self) -> None:
        """Load what the service needs."""
        self.environment.apply()

    def start(self) -> dict[str, Any]:
        """Serve; returns, once it does, what the test run is to know of it."""
        raise NotImplementedError

    def stop(self) -> None:
        """Finish what is running and serve no more."""
        raise NotImplementedError

    def main(self) -> None:
        """Keep the main thread until ``end``."""
        raise NotImplementedError

    def end(self) -> None:
        """Have ``main`` return."""
        raise NotImplementedError


class Workers(Service):
    """Runs the project's consumers and views."""

    def load(self) -> None:
        """Load the project, which the interface server does not: it runs none of its code."""
        super().load()
        if "CHANNEL_LAYERS" in self.environment.applied:
            use_test_layer()  # so that an app that sends while it is loaded has no other
        django.setup()
        log_to_standard_error()
        self.environment.apply_rest()
        self._layer = use_test_layer()
        self._layer.router.check_default(http_consumer=self._http_consumer())
        self._ended = threading.Event()

    def start(self) -> dict[str, Any]:
        workers = import_string("channels.worker.WorkerGroup")
        self._workers = workers(
            self._layer, signal_handlers=False, n_threads=self.options["n_threads"]
        )
        self._workers.channels()
        self._thread = threading.Thread(target=self._workers.run, name="workers")
        self._thread.start()
        return {}

    def stop(self) -> None:
        self._workers.stop()
        self._thread.join()  # whose threads have closed their database connections then

    def main(self) -> None:
        self._ended.wait()

    def end(self) -> None:
        self._ended.set()

    def _http_consumer(self) -> Any:
        consumers = "channels.management.consumers"
        wanted = self.options["serve_static"]
        is_static = import_string(f"{consumers}.serves_static")(wanted, insecure=True)
        return import_string(f"{consumers}.http_consumer")(is_static)


class ProtocolServer(Service):
    """Runs Daphne. Its port stays the same from one start to the next."""

    def load(self) -> None:
        """Load Daphne, and with it Twisted's reactor, which only this process needs."""
        super().load()
        log_to_standard_error()
        self._reactor = import_string("daphne.server.reactor")
        self._call = import_string("twisted.internet.threads.blockingCallFromThread")
        import_string("daphne.protocol.engine.load_engine")()
        self._port = self.options.get("port", 0)

    def start(self) -> dict[str, Any]:
        layer = channel_layers.make_test_backend(DEFAULT_CHANNEL_LAYER).channel_layer
        self._port = self._call(self._reactor, self._listen, layer)
        return {"port": self._port}

    def stop(self) -> None:
        self._call(self._reactor, self._server.shut_down)

    def main(self) -> None:
        self._reactor.run(installSignalHandlers=False)

    def end(self) -> None:
        self._reactor.callFromThread(self._reactor.stop)

    def _listen(self, layer: Any) -> Any:
        """Begin to serve; a Deferred that fires with the port."""
        listening = import_string("twisted.internet.defer.Deferred")()
        endpoints = import_string("daphne.server.build_endpoint_description_strings")
        self._server = import_string("daphne.server.Server")(
            layer,
            endpoints=endpoints(host=_address(self.options["host"]), port=self._port),
            signal_handlers=False,
            ws_protocols=getattr(settings, "CHANNELS_WS_PROTOCOLS", None),
            root_path=settings.FORCE_SCRIPT_NAME or "",
            shutdown_timeout=_SHUTDOWN_TIMEOUT,
            ready=lambda server: listening.callback(server.addresses[0].port),
        )
        self._server.start()
        return listening


def use_test_layer() -> ChannelLayerWrapper:
    """Have the layer with TEST_CONFIG in the place of the configured one."""
    layer = channel_layers.make_test_backend(DEFAULT_CHANNEL_LAYER)
    channel_layers.set(DEFAULT_CHANNEL_LAYER, layer)
    return layer


def log_to_standard_error() -> None:
    """Show what goes wrong, and that alone: the lines are among those of the test run."""
    setup_logger("django.channels")
    logging.getLogger("django.channels").setLevel(logging.WARNING)
    for name in ("daphne.server", "daphne.http_protocol"):  # sockets are cut at the end of a test
        logging.getLogger(name).setLevel(logging.ERROR)
    requests = logging.getLogger("django.request")  # without DEBUG, Django writes e-mails of errors
    requests.addHandler(_ErrorHandler(handler))


class _ErrorHandler(logging.Handler):
    """Hands on errors, and leaves out what is only a client's fault."""

    def __init__(self, target: logging.Handler) -> None:
        super().__init__(logging.ERROR)
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        self._target.handle(record)


def _address(host: str) -> str:
    """The numeric address of ``host``, of the older protocol where it has both."""
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    return str(found[0][4][0])


class _Commands:
    """Takes the commands of the test run and reports what came of each."""

    def __init__(self, service: Service, report: Callable[[str, dict[str, Any]], None]) -> None:
        self._service = service
        self._report = report
        self._serves = False

    def follow(self) -> None:
        """Do as told, until there is nobody any more to tell."""
        for line in sys.stdin.buffer:
            try:
                self._do(line.strip().decode())
            except BaseException:
                self._report("failed", {"traceback": traceback.format_exc()})
        last = threading.Timer(_LAST_SECONDS, os._exit, [1])
        last.daemon = True
        last.start()
        try:
            if self._serves:
                self._service.stop()
        finally:
            self._service.end()

    def _do(self, word: str) -> None:
        if word == "start":
            details = self._service.start()
            self._serves = True
            self._report("ready", details)
        else:
            self._service.stop()
            self._serves = False
            self._report("stopped", {})


def main() -> None:
    """The life of a process, whose import path has been set already."""
    environment: Environment = pickle.load(sys.stdin.buffer)
    task = pickle.load(sys.stdin.buffer)
    os.set_inheritable(task["reports"], False)
    reports = os.fdopen(task["reports"], "w", buffering=1)

    def report(word: str, details: dict[str, Any]) -> None:
        reports.write(json.dumps({"report": word, "details": details}) + "\n")

    try:
        service: Service = import_string(task["service"])(environment, task["options"])
        service.load()
    except BaseException:
        report("failed", {"traceback": traceback.format_exc()})
        sys.exit(1)
    commands = _Commands(service, report)
    threading.Thread(target=commands.follow, name="commands", daemon=True).start()
    service.main()
