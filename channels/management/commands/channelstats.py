"""``manage.py channelstats``: what a channel layer's statistics say, once or again and again.

What is shown is in ``channels.management.statistics``; this command reads the options and writes.
"""

import json
import time
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.asgi import ChannelLayerWrapper
from channels.exceptions import ChannelLayerError
from channels.layers.extensions import require_extension
from channels.management.options import add_layer_option, add_option, shared_layer
from channels.management.statistics import Report, collect, table

__all__ = ["Command"]

# Terminal control: go to the first cell; clear the rest of the line; clear the rest of the screen.
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"

#: Seconds between two looks at most; systems refuse waits of centuries.
_LONGEST_INTERVAL = 86_400.0

#: What clears the screen before the first table.
_CLEAR = "\x1b[2J"


class Command(BaseCommand):
    """Prints the statistics of a layer until it is interrupted, or ``--once``."""

    help = "Shows how many messages wait in which channel, how old they are, and what was lost."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's own options."""
        super().add_arguments(parser)
        add_layer_option(parser)
        add_option(
            parser,
            "--interval",
            type=float,
            default=2.0,
            metavar="SECONDS",
            help="The time between two looks (default: %(default)s).",
        )
        add_option(
            parser,
            "--limit",
            type=int,
            default=30,
            metavar="N",
            help="The number of channels in the table, those with most messages first "
            "(default: %(default)s).",
        )
        add_option(parser, "--once", action="store_true", help="Look once, and end.")
        add_option(
            parser,
            "--json",
            action="store_true",
            help="Print one JSON object for each look, with every channel.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Look and print. Raises ``CommandError`` for options and layers that cannot work."""
        interval = options["interval"]
        if not 0 < interval <= _LONGEST_INTERVAL:
            raise CommandError(
                "--interval must be more than 0 and at most "
                f"{_LONGEST_INTERVAL:.0f} (a day), not {interval}."
            )
        if options["limit"] < 1:
            raise CommandError(f"--limit must be 1 or more, not {options['limit']}.")
        self.layer = shared_layer(options["layer"])
        try:
            require_extension(self.layer, "statistics", "channelstats")
        except ChannelLayerError as error:
            raise CommandError(str(error)) from error
        self.expected = self._routed_channels(self.layer)
        try:
            self._look(options)
            while not options["once"]:
                time.sleep(interval)
                self._look(options)
        except KeyboardInterrupt:
            self.stdout.write("")  # after the terminal's ^C

    def _routed_channels(self, layer: ChannelLayerWrapper) -> list[str]:
        """The channels that have consumers; figures matter also where the routing is broken."""
        try:
            layer.router.check_default()
            return sorted(layer.router.channels)
        except (ImportError, ImproperlyConfigured, ValueError) as error:
            self.stderr.write(f"The routing of {layer} cannot be read: {error}")
            return []

    def _look(self, options: dict[str, Any]) -> None:
        try:
            report = collect(self.layer, self.expected)
        except ChannelLayerError as error:
            if options["once"]:
                raise CommandError(str(error)) from error
            self.stderr.write(f"{self.layer} failed: {error}")
            return
        if options["json"]:
            self._write_json(report)
        else:
            self._write_table(report, options)

    def _write_json(self, report: Report) -> None:
        content = {
            "layer": str(self.layer),
            "time": time.time(),
            "all": report.total,
            "channels": report.channels,
        }
        self.stdout.write(json.dumps(content))
        self.stdout.flush()

    def _write_table(self, report: Report, options: dict[str, Any]) -> None:
        lines = [f"{self.layer}  {time.strftime('%H:%M:%S')}", "", *table(report, options["limit"])]
        if options["once"]:
            self.stdout.write("\n".join(lines))
        elif self.stdout.isatty():
            self._repaint(lines)
        else:
            self.stdout.write("\n".join([*lines, ""]))
        self.stdout.flush()

    def _repaint(self, lines: list[str]) -> None:
        """Write over the last table, so that nothing flickers."""
        start, self._start = self._start, _HOME
        self.stdout.write(start + "".join(f"{line}{_END_OF_LINE}\n" for line in lines) + _BELOW)

    #: What comes before the next table on a terminal.
    _start = _CLEAR + _HOME
