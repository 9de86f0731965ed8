"""The rolling restart: processes of supervisor's are replaced one by one, each once the one before
it is ready.

Readiness is what ``channels.readiness`` writes into a file: the file of a process stands in its
command, as ``--ready-file``, and holds its number.
"""

import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError
from supervisor.states import RUNNING_STATES, ProcessStates

from channels.management.supervision import Supervisor
from channels.readiness import is_ready

__all__ = ["Member", "Roll", "members"]

#: Seconds between two looks: supervisor tells nobody who only asks, and a file tells nobody.
_LOOK = 0.05

#: The commands whose processes are restarted where no names are given.
_WORKERS = ("runworker", "runwsgi")


@dataclass(frozen=True, slots=True)
class Member:
    """A process to be restarted: its name, group:name, and the file that says it is ready."""

    name: str
    ready_file: str


def members(configured: Iterable[dict[str, Any]], names: Sequence[str]) -> list[Member]:
    """The processes that ``names`` mean: of groups, of a program, or group:name.

    Without names, all workers. Raises ``CommandError`` for a name that there is not, and where a
    process does not tell that it is ready.
    """
    known = {f"{one['group']}:{one['name']}": one for one in configured if one["inuse"]}
    chosen = {name for name, one in known.items() if _is_worker(one)} if not names else set()
    for name in names:
        meant = {one for one in known if name.removesuffix(":*") in (one, one.partition(":")[0])}
        if not meant:
            raise CommandError(
                f"supervisor has neither a group nor a process {name!r}; it has "
                f"{', '.join(known) or 'none'}."
            )
        chosen |= meant
    if not chosen:
        raise CommandError(f"supervisor has no workers; it has {', '.join(known) or 'nothing'}.")
    return [Member(name, _ready_file(name, known[name])) for name in known if name in chosen]


def _is_worker(configured: dict[str, Any]) -> bool:
    return any(word in _WORKERS for word in shlex.split(configured["command"]))


def _ready_file(name: str, configured: dict[str, Any]) -> str:
    words = shlex.split(configured["command"])
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, _, value = word.partition("=")
        if option in ("--ready-file", "--ready_file") and (path := value or following):
            return path if path.startswith("/") else f"{configured['directory']}/{path}"
    raise CommandError(
        f"{name} does not say when it is ready: add --ready-file and a path of its own to its "
        "command, as supervisorconf does, and have supervisor take it up by 'supervisorctl update'."
    )


class Roll:
    """One rolling restart; ``say`` is told each step."""

    def __init__(
        self, supervisor: Supervisor, timeout: float, say: Callable[[str], object]
    ) -> None:
        """``timeout``: seconds in which each process has to become ready."""
        self._supervisor = supervisor
        self._timeout = timeout
        self._say = say

    def run(self, members: Sequence[Member]) -> None:
        """Restart them in turn. Raises ``CommandError`` at the first that does not come up.

        Those that were stopped on purpose stay so.
        """
        for number, member in enumerate(members):
            try:
                self._restart(member)
            except CommandError as error:
                left = ", ".join(one.name for one in members[number + 1 :]) or "none"
                raise CommandError(f"{error} Not restarted: {left}.") from error

    def _restart(self, member: Member) -> None:
        state = self._supervisor.state(member.name)
        if state["state"] == ProcessStates.STOPPED:
            self._say(f"{member.name}: was stopped, and is left so")
            return
        began = time.monotonic()
        try:
            if state["state"] in RUNNING_STATES:
                self._supervisor.stop(member.name)
            stopped = time.monotonic()
            self._supervisor.start(member.name)
        except KeyboardInterrupt:
            self._say(
                f"{member.name}: interrupted while it stops; nobody starts it again but "
                f"'supervisorctl start {member.name}'"
            )
            raise
        pid = self._wait(member)
        self._say(
            f"{member.name}: stopped in {stopped - began:.1f} s, ready after "
            f"{time.monotonic() - stopped:.1f} s as process {pid}"
        )

    def _wait(self, member: Member) -> int:
        """Wait until it is ready; its process."""
        deadline = time.monotonic() + self._timeout
        while True:
            state = self._supervisor.state(member.name)
            pid: int = state["pid"]
            if pid and is_ready(member.ready_file, pid):
                return pid
            if state["state"] not in (ProcessStates.STARTING, ProcessStates.RUNNING):
                why = state["spawnerr"] or state["description"]
                raise CommandError(
                    f"{member.name} ended before it was ready: {state['statename']} ({why}). See "
                    f"its log, {state['logfile']}."
                )
            if time.monotonic() >= deadline:
                raise CommandError(
                    f"{member.name} was not ready within {self._timeout:g} s: process {pid} has "
                    f"not written {member.ready_file}. See its log, {state['logfile']}."
                )
            time.sleep(_LOOK)
