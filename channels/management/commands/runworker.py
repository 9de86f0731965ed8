"""``manage.py runworker``: a process that runs consumers (Channels documentation, Deploying).

The worker is ``channels.worker``; this command reads the options and says what it does.
"""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.asgi import ChannelLayerWrapper
from channels.log import setup_logger
from channels.management.consumers import http_consumer, serves_static
from channels.management.options import (
    add_layer_option,
    add_option,
    add_ready_file_option,
    add_threads_option,
    readiness_of,
    shared_layer,
    threads_of,
)
from channels.message import Message
from channels.readiness import Readiness
from channels.signals import worker_process_ready
from channels.worker import Worker, WorkerGroup
from channels.worker.keeper import Keeper, memory_of
from channels.worker.kept import Kept
from channels.worker.limits import Limits, seconds, size
from channels.worker.prefetch import MOST

__all__ = ["Command"]


class Command(BaseCommand):
    """Runs one worker, or a group of them with ``--threads``, until SIGTERM or SIGINT."""

    help = "Runs the consumers of a channel layer's messages."
    leave_locale_alone = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's own options."""
        super().add_arguments(parser)
        add_layer_option(parser)
        add_option(
            parser,
            "--only-channels",
            action="append",
            metavar="GLOB",
            help="Listen only on channels that match GLOB, such as 'http.*'; may be repeated.",
        )
        add_option(
            parser,
            "--exclude-channels",
            action="append",
            metavar="GLOB",
            help="Do not listen on channels that match GLOB; may be repeated.",
        )
        add_threads_option(parser, "consumers that run at a time")
        add_option(
            parser,
            "--prefetch",
            type=int,
            default=1,
            metavar="N",
            help="Take up to N messages at once where consumers are quick; those in hand are lost "
            "where the process is killed (default: %(default)s).",
        )
        add_ready_file_option(parser)
        self._add_limits(parser)

    def _add_limits(self, parser: CommandParser) -> None:
        """The options that put the worker into a process of its own, which is replaced."""
        add_option(
            parser,
            "--consumer-timeout",
            metavar="SECONDS",
            help="Replace the process, by force, where a consumer runs for longer "
            "(default: never).",
        )
        add_option(
            parser,
            "--max-memory",
            metavar="SIZE",
            help="Replace the process, when it has finished what it does, once it holds more than "
            "SIZE, such as 300M (default: never).",
        )
        add_option(
            parser,
            "--max-messages",
            metavar="N",
            help="Replace the process after N messages, or up to a tenth fewer (default: never).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the worker. Raises ``CommandError`` for options that cannot work."""
        self.logger = setup_logger("django.channels", options["verbosity"])
        limits = limits_of(options)
        kept = Kept.from_environment(limits)
        readiness = readiness_of(options) if kept is None else kept.readiness
        layer = shared_layer(options["layer"])
        layer.router.check_default(http_consumer=http_consumer(serves_static()))
        worker = self.make_worker(layer, options)
        try:
            channels = worker.channels()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if limits.any and kept is None:
            self.keep(limits, readiness, options)
            return
        self.logger.info("Using %d thread(s) on channel layer %s", options["threads"], layer)
        self.logger.info("Listening on channels %s", ", ".join(channels))
        worker_process_ready.send(sender=worker)
        worker.ready()
        if kept is not None:
            kept.watch(worker)
        with readiness as worker.readiness:
            worker.run()
        self.logger.info("The worker has stopped.")

    def keep(self, limits: Limits, readiness: Readiness, options: dict[str, Any]) -> None:
        """Have this command once more as a worker, and replace that one where it has to be.

        Raises ``CommandError`` where it is not this process's command, ``SystemExit`` where the
        worker did not end in order.
        """
        if not getattr(self, "_called_from_command_line", False):
            raise CommandError(
                "--consumer-timeout, --max-memory and --max-messages replace the process of the "
                "worker, so runworker must be a command of its own: start manage.py runworker."
            )
        command = [sys.executable, *sys.orig_argv[1:]]
        with readiness:
            code = Keeper(command, limits, options["threads"], readiness).run()
        if code:
            sys.exit(code)

    def make_worker(self, layer: ChannelLayerWrapper, options: dict[str, Any]) -> Worker:
        """The worker that the options ask for, not yet running."""
        threads = threads_of(options)
        if not 1 <= options["prefetch"] <= MOST:
            raise CommandError(f"--prefetch must be from 1 to {MOST}, not {options['prefetch']}.")
        arguments: dict[str, Any] = {
            "channel_layer": layer,
            "callback": self.log_message if options["verbosity"] > 1 else None,
            "only_channels": options["only_channels"],
            "exclude_channels": options["exclude_channels"],
            "prefetch": options["prefetch"],
        }
        if threads == 1:
            return Worker(**arguments)
        return WorkerGroup(**arguments, n_threads=threads)

    def log_message(self, channel: str, message: Message) -> None:
        """Log that a consumer is run; only with ``-v 2``."""
        self.logger.log(logging.DEBUG, "%s", channel)


def limits_of(options: dict[str, Any]) -> Limits:
    """The limits in the options. Raises ``CommandError`` for those that cannot be."""
    limits = Limits(
        _read(options, "consumer_timeout", seconds, "a number of seconds above 0, such as 30"),
        _read(options, "max_memory", size, "a size above 0, such as 300M, 1.5G or 500000000"),
        _read(options, "max_messages", int, "a whole number above 0"),
    )
    if limits.max_memory is not None:
        try:
            memory_of(os.getpid())
        except OSError as error:
            raise CommandError(f"--max-memory cannot be had on this system: {error}") from error
    return limits


def _read(options: dict[str, Any], name: str, kind: Callable[[str], Any], what: str) -> Any:
    """The value of an option, which may also be given as it is by ``call_command``."""
    value = options.get(name)
    if value is None:
        return None
    try:
        found = kind(str(value))
        if found > 0:
            return found
    except ValueError:
        pass
    raise CommandError(f"--{name.replace('_', '-')} must be {what}, not {value!r}.")
