"""``manage.py restartworkers``: workers of a supervisord are replaced one by one.

How, is in ``channels.management.rolling``; this command reads the options and says what it does.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.management.options import add_option
from channels.management.rolling import Roll, members
from channels.management.supervision import Supervisor, read_address

__all__ = ["Command"]


class Command(BaseCommand):
    """Restarts workers in turn, and waits until each is ready before it goes on to the next."""

    help = (
        "Restarts the workers that a supervisord runs, one by one: each is told to finish, started "
        "again, and waited for until it receives messages. Stops at the first that does not."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's own options."""
        super().add_arguments(parser)
        parser.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help="A group, or group:process, of any program with --ready-file "
            "(default: all workers).",
        )
        add_option(
            parser,
            "--configuration",
            metavar="FILE",
            help="The file with supervisor's section [supervisorctl] "
            "(default: where supervisorctl looks for it).",
        )
        add_option(
            parser,
            "--supervisor",
            metavar="URL",
            help="Its address, unix:///path or http://host:port, in place of that in the file.",
        )
        add_option(
            parser,
            "--timeout",
            type=float,
            default=60.0,
            metavar="SECONDS",
            help="How long each of them may take to become ready (default: %(default)s).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Restart them. Raises ``CommandError`` where one of them does not come up."""
        if not options["timeout"] > 0:
            raise CommandError(f"--timeout must be more than 0, not {options['timeout']}.")
        supervisor = Supervisor(read_address(options["configuration"], options["supervisor"]))
        chosen = members(supervisor.configured(), options["names"])
        Roll(supervisor, options["timeout"], self._say).run(chosen)
        self._say(f"{len(chosen)} of {len(chosen)} done.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
