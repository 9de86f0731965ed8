"""What workers do about the first and the last message of every WebSocket, whatever its consumer.

Its session goes away with the last one also where that has a consumer without session; the last one
comes after all those that are consumed in order; and where a handshake is refused before its order
was looked at, nobody waits for it.
"""

from collections.abc import Callable

from channels.exceptions import ConsumeLater
from channels.message import Message

from .ends import REFUSED, mark_ended
from .ordering import STATE_KEY, connects_in_order, enforces_ordering, take_turn
from .scope import channel_sessions, session_scope
from .waiting import requeue_messages

__all__ = ["run_first", "run_last"]


def run_first(
    message: Message,
    consumer: object,
    call: Callable[[], object],
    check: Callable[[Message], object],
) -> None:
    """Run what a ``websocket.connect`` message is for: ``check``, then ``call``.

    The latter calls ``consumer``, the former may refuse the message.
    """
    if message.reply_channel is None or not enforces_ordering(consumer):
        check(message)
        call()
        return
    with session_scope(message) as scope:
        try:
            check(message)
            call()
        except ConsumeLater:
            raise
        except BaseException:
            if not scope.has_turn:
                mark_ended(message.channel_layer, message.reply_channel.name, REFUSED)
                requeue_messages(message)
            raise


def run_last(message: Message, call: Callable[[], object]) -> None:
    """Run what a ``websocket.disconnect`` message is for, then delete the socket's session."""
    if message.reply_channel is None or not channel_sessions.used:
        call()
        return
    with session_scope(message) as scope:
        in_order = STATE_KEY in scope.channel_session() or connects_in_order(message)
        if not in_order or take_turn(scope):
            call()
