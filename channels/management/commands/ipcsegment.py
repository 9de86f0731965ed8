"""``manage.py ipcsegment``: what a segment of the shared-memory layer holds, and its removal."""

import datetime
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.asgi import BACKEND_ALIASES, channel_layers
from channels.exceptions import LayerNotInstalled, LayerUnavailable, SegmentRefused
from channels.layers.ipc.segments import bell_paths, check_prefix, open_segment, path_of

__all__ = ["Command"]

#: The layer whose segments these are, and the prefix that it has where none is configured.
_BACKEND = "channels.layers.ipc.IPCChannelLayer"
_DEFAULT_PREFIX = "asgi"

_MIB = 1024 * 1024


class Command(BaseCommand):
    """Looks at the segment of one prefix, and removes it with ``--remove``."""

    help = (
        "Prints what the shared memory of a prefix holds; with --remove, removes it. A segment "
        "is made anew when it is next needed."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's own arguments."""
        parser.add_argument(
            "prefix",
            nargs="?",
            help="The prefix of the channel layer (default: that of CHANNEL_LAYERS, or 'asgi').",
        )
        parser.add_argument(
            "--remove", action="store_true", help="Remove the segment, and what is in it."
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="Remove it also where processes use it; they go over to a new, empty one.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Inspect or remove. Raises ``CommandError`` for what cannot be done."""
        prefix = options["prefix"] or _configured_prefix()
        try:
            path = path_of(check_prefix(prefix))
            if not os.path.lexists(path):
                self._remove_bells(prefix, options["remove"])
                self.stdout.write(f"There is no segment of prefix {prefix!r} ({path}).")
                return
            found = self._look(prefix, options["remove"])
        except (LayerNotInstalled, LayerUnavailable, SegmentRefused, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["remove"]:
            self._remove(prefix, found, options["force"])

    def _look(self, prefix: str, remove: bool) -> dict[str, int] | None:
        """Print what the segment holds; None where it is unusable and shall be removed anyway."""
        try:
            found = open_segment(prefix).describe()
        except (LayerUnavailable, SegmentRefused) as error:
            if not remove:
                raise
            self.stderr.write(str(error))
            return None
        for line in _described(prefix, found):
            self.stdout.write(line)
        return found

    def _remove(self, prefix: str, found: dict[str, int] | None, force: bool) -> None:
        if found is not None and found["clients_elsewhere"] and not force:
            raise CommandError(
                f"{found['clients_elsewhere']} client(s) use the segment of prefix {prefix!r}: end "
                "these processes first, or add --force to have them go over to a new, empty one"
            )
        try:
            if found is not None:
                open_segment(prefix).retire()
            path_of(prefix).unlink(missing_ok=True)
        except OSError as error:
            raise CommandError(f"cannot remove {path_of(prefix)}: {error}") from error
        self._remove_bells(prefix, True)
        self.stdout.write(f"Removed the segment of prefix {prefix!r}.")

    def _remove_bells(self, prefix: str, remove: bool) -> None:
        for path in bell_paths(prefix) if remove else ():
            path.unlink(missing_ok=True)


def _configured_prefix() -> str:
    """The prefix of the first shared-memory layer in the settings."""
    for config in channel_layers.configs.values():
        backend = config.get("BACKEND")
        if BACKEND_ALIASES.get(backend, backend) == _BACKEND:
            prefix: str = (config.get("CONFIG") or {}).get("prefix", _DEFAULT_PREFIX)
            return prefix
    return _DEFAULT_PREFIX


def _described(prefix: str, found: dict[str, int]) -> list[str]:
    born = datetime.datetime.fromtimestamp(found["born"]).isoformat(" ", "seconds")
    lines = [
        f"Segment of prefix {prefix!r} ({path_of(prefix)}), made {born}",
        f"  {found['messages_pending']} message(s) in {found['channels']} channel(s)",
        f"  {found['groups']} group(s) with {found['memberships']} member(s)",
        f"  {found['clients_elsewhere']} client(s); {found['readers_waiting']} wait(s) for a "
        f"message, {found['senders_waiting']} for room, {found['listeners']} announcement(s)",
        f"  {found['recoveries']} recovery(ies) after a process that died, or a flush",
    ]
    for part in ("message", "group", "wait"):
        used, granted, size = (
            found[f"{part}_memory{suffix}"] / _MIB for suffix in ("_used", "_granted", "")
        )
        lines.append(
            f"  {part} memory: {used:.1f} MiB used, {granted:.0f} MiB taken from the system, "
            f"{size:.0f} MiB at most"
        )
    return lines
