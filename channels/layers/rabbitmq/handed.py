"""Which messages of process channels were handed out before the broker confirmed it.

Such a message is acknowledged and handed out in one step. Where the connection is lost before the
broker has read the acknowledgement, it delivers the message again; the ``message_id``, which the
sender made and no other message has, tells that it was handed out already.
"""

import threading
import time
from collections import OrderedDict, deque

from channels.layers.rabbitmq.session import PREFETCHED_ALONE, Session

__all__ = ["Handed"]

#: The latest messages of a channel whose acknowledgements the broker may not have read: those that
#: it delivers to a consumer before it waits for one, and one that was taken without a consumer,
#: since it answers a second such question after the first one's acknowledgement.
_UNCONFIRMED = PREFETCHED_ALONE + 1

#: Process channels whose latest messages are remembered. A process has a few; the bound is for
#: names made at random.
_REMEMBERED = 1_000


class Handed:
    """What a layer's engines handed out lately. May be used by any thread.

    ``expiry`` is the number of seconds after which the broker delivers a message no more.
    """

    def __init__(self, expiry: float) -> None:
        #: Twice as long: a message may be on its way, or at hand, when it expires.
        self._lifetime = 2 * expiry
        self._lock = threading.Lock()
        #: By channel and session.
        self._latest: OrderedDict[str, dict[Session, deque[str]]] = OrderedDict()
        #: What was handed out by sessions that were lost, and until when it is remembered. The
        #: broker may find out much later than we that a connection is lost.
        self._lost: dict[str, float] = {}

    def first_time(self, session: Session, queue: str, message_id: str) -> bool:
        """Whether a message that ``session`` brought was not handed out before; now it counts as
        handed out. One without an identifier is taken for a new one."""
        if not message_id:
            return True
        with self._lock:
            if message_id in self._lost:
                return False
            sessions = self._sessions(queue)
            latest = sessions.get(session)
            if latest is None:
                latest = sessions[session] = deque(maxlen=_UNCONFIRMED)
            if len(sessions) > 1 and any(
                message_id in others for others in sessions.values() if others is not latest
            ):
                return False
            latest.append(message_id)
            return True

    def _sessions(self, queue: str) -> dict[Session, deque[str]]:
        sessions = self._latest.get(queue)
        if sessions is None:
            sessions = self._latest[queue] = {}
            if len(self._latest) > _REMEMBERED:
                self._latest.popitem(last=False)
        else:
            self._latest.move_to_end(queue)
        return sessions

    def lost(self, session: Session) -> None:
        """The broker may deliver again what it has not read the acknowledgements of."""
        now = time.monotonic()
        with self._lock:
            self._lost = {one: until for one, until in self._lost.items() if until > now}
            for queue, sessions in list(self._latest.items()):
                latest = sessions.pop(session, ())
                self._lost.update(dict.fromkeys(latest, now + self._lifetime))
                if not sessions:
                    del self._latest[queue]
