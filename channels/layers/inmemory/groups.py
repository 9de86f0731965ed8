"""Who is a member of which group. Guarded by the layer's lock.

Members are kept by their queue, since a group send writes one entry for all the members behind one
interface server.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from channels.codec import MAX_TARGETS
from channels.layers.inmemory.agenda import Agenda

__all__ = ["Groups"]


class Members:
    """The members of one group behind one queue: their local parts, the longest unrenewed first.

    A queue that belongs to no process has one member, itself, with an empty local part.
    """

    __slots__ = ("_deadlines", "_packed", "group", "queue", "scheduled")

    def __init__(self, group: str, queue: str) -> None:
        self.group = group
        self.queue = queue
        self.scheduled = False
        # An OrderedDict finds its first key at once; a dict that was emptied from the front has to
        # look for it, which makes many members that expire one after the other a quadratic matter.
        self._deadlines: OrderedDict[str, float] = OrderedDict()
        self._packed: list[tuple[str, ...]] | None = None

    def __bool__(self) -> bool:
        return bool(self._deadlines)

    def __iter__(self) -> Iterator[str]:
        return iter(self._deadlines)

    def __contains__(self, local: object) -> bool:
        return local in self._deadlines

    def deadlines(self) -> Mapping[str, float]:
        """The members, and when their membership ends."""
        return self._deadlines

    def due(self) -> float | None:
        """When the first membership ends."""
        return next(iter(self._deadlines.values()), None)

    def renew(self, local: str, deadline: float) -> None:
        """Add a member, or move its deadline."""
        if self._deadlines.pop(local, None) is None:
            self._packed = None
        self._deadlines[local] = deadline

    def discard(self, local: str) -> None:
        """Remove a member, if it is one."""
        if self._deadlines.pop(local, None) is not None:
            self._packed = None

    def clear(self) -> None:
        """Remove all members."""
        self._deadlines.clear()
        self._packed = None

    def expire(self, now: float) -> None:
        """Remove the members whose deadline has passed."""
        while (deadline := self.due()) is not None and deadline <= now:
            self.discard(next(iter(self._deadlines)))

    def packed(self) -> list[tuple[str, ...]]:
        """The targets of the entries that reach all members, at most ``MAX_TARGETS`` each."""
        if self._packed is None and not self.queue.endswith("!"):
            self._packed = [()] if self else []
        elif self._packed is None:
            local = tuple(self._deadlines)
            self._packed = [local[i : i + MAX_TARGETS] for i in range(0, len(local), MAX_TARGETS)]
        return self._packed


class Groups:
    """All groups, and for each queue the groups that somebody behind it is a member of."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, Members]] = {}
        self._by_queue: dict[str, dict[str, Members]] = {}
        #: When memberships end; ``expire`` is due when its first deadline has passed.
        self.agenda: Agenda[Members] = Agenda()

    def add(self, group: str, queue: str, local: str, deadline: float) -> None:
        """Add a member, or renew its membership."""
        members = self._by_queue.setdefault(queue, {}).get(group)
        if members is None:
            members = self._by_queue[queue][group] = Members(group, queue)
            self._groups.setdefault(group, {})[queue] = members
        members.renew(local, deadline)
        if not members.scheduled:
            self.agenda.add(members)

    def discard(self, group: str, queue: str, local: str) -> None:
        """Remove a member, if it is one."""
        members = self._groups.get(group, {}).get(queue)
        if members is not None:
            members.discard(local)
            self._tidy(members)

    def evict(self, queue: str) -> None:
        """Remove every member behind ``queue`` from all groups."""
        for members in list(self._by_queue.get(queue, {}).values()):
            self._remove(members)

    def expire(self, now: float) -> None:
        """Remove the memberships whose deadline has passed."""
        while (first := self.agenda.first()) is not None and first[0] <= now:
            first[1].expire(now)
            self._tidy(first[1])

    def members(self, group: str) -> list[Members]:
        """The members of ``group``, queue by queue."""
        return list(self._groups.get(group, {}).values())

    def everything(self) -> Iterator[tuple[str, str, Mapping[str, float]]]:
        """Each group and queue with its members and their deadlines."""
        for group, queues in self._groups.items():
            for queue, members in queues.items():
                yield group, queue, members.deadlines()

    def has_member(self, queue: str, local: str) -> bool:
        """Whether a channel is a member of any group."""
        return any(local in members for members in list(self._by_queue.get(queue, {}).values()))

    def _tidy(self, members: Members) -> None:
        if not members:
            self._remove(members)

    def _remove(self, members: Members) -> None:
        """Forget ``members``; they are emptied, so that the agenda forgets them too."""
        for index, key, inner in (
            (self._groups, members.group, members.queue),
            (self._by_queue, members.queue, members.group),
        ):
            index[key].pop(inner, None)
            if not index[key]:
                del index[key]
        members.clear()
        self.agenda.emptied()
