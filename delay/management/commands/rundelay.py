"""``manage.py rundelay``: the delay server (Channels documentation, Delay Server).

The server is ``channels.delay.worker``; this command reads the options and says what it does.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.delay.worker import SLEEP, Worker
from channels.log import setup_logger
from channels.management.options import (
    add_layer_option,
    add_option,
    add_ready_file_option,
    add_threads_option,
    readiness_of,
    shared_layer,
    threads_of,
)

__all__ = ["Command"]


class Command(BaseCommand):
    """Runs a delay server until SIGTERM or SIGINT. There may be any number of them."""

    help = "Stores the messages that are sent to asgi.delay, and sends each when it is due."
    leave_locale_alone = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's own options."""
        super().add_arguments(parser)
        add_layer_option(parser)
        add_option(
            parser,
            "--sleep",
            type=float,
            default=SLEEP,
            metavar="SECONDS",
            help="Look at the database after so many seconds at most (default: %(default)s). "
            "Messages are sent when they are due, whatever it is.",
        )
        add_threads_option(parser, "threads that send")
        add_ready_file_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the server. Raises ``CommandError`` for options that cannot work."""
        logger = setup_logger("django.channels", options["verbosity"])
        readiness = readiness_of(options)
        layer = shared_layer(options["layer"])
        if not options["sleep"] > 0:
            raise CommandError(f"--sleep must be more than 0, not {options['sleep']}.")
        threads = threads_of(options)
        worker = Worker(layer, database_sleep_duration=options["sleep"], n_threads=threads)
        with readiness as worker.readiness, worker.signals_taken_over():
            logger.info("Listening on channel asgi.delay of channel layer %s", layer)
            worker.run()
        logger.info("The delay server has stopped.")
