"""``enforce_ordering``: the messages of a socket are consumed one after the other, in their order
(Channels documentation, Enforcing Ordering).

Theory of operation. Messages of a socket are numbered by their ``order``; the session of its reply
channel holds the number whose turn it is. A worker with that message runs its consumer, saves the
session with the next number, and then looks whether the message of that number waits: if so, it
runs that as well. A worker with a later message has it wait (``channels.sessions.waiting``) and
goes on with something else; then it reads the number once more, since it may have become its
message's turn just before it began to wait. So each side first writes and then reads what the
other side writes, and one of them sees the other at least. Only the worker whose turn it is writes
the session, so that engines need no locks. No message is tried in vain more than once. What a
consumer has sent leaves before the next number is saved.

A message that is lost leaves those behind it waiting. Who has a message wait watches for that
(``channels.sessions.watching``), and gives the socket up after the layer's expiry. One whose
consumer still runs is not lost, and is told from that (``channels.sessions.leases``).
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast, overload

from channels.message import Message
from channels.pending import pending_message_store

from .ends import GIVEN_UP, how_it_ended
from .leases import leases
from .scope import SessionScope, channel_sessions, message_of, session_scope
from .stores import ChannelSession
from .waiting import ORIGINAL_CHANNEL, WaitingRoom, original, park_again
from .watching import STATE_KEY, give_up, park_and_look, watcher

__all__ = ["STATE_KEY", "connects_in_order", "enforce_ordering", "enforces_ordering", "take_turn"]

logger = logging.getLogger("django.channels")

P = ParamSpec("P")
R = TypeVar("R")

#: How far ahead of the one whose turn it is a message may wait. A client that sends more meanwhile
#: is disconnected.
AHEAD_LIMIT = 10_000

#: Close code for such a client: try again later.
_TRY_AGAIN_LATER = 1013


@overload
def enforce_ordering(func: Callable[P, R], slight: bool = False) -> Callable[P, R | None]: ...
@overload
def enforce_ordering(
    func: None = None, slight: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R | None]]: ...
def enforce_ordering(func: Any = None, slight: bool = False) -> Any:
    """Have a consumer run when all earlier messages of its socket have been consumed.

    ``@enforce_ordering`` or ``@enforce_ordering()``. All consumers of a socket that may get its
    messages from ``websocket.receive`` have to be decorated; that of ``websocket.connect`` may be.
    Implies ``channel_session``, where it keeps ``__channels_next_order``. A message before its turn
    waits, and the call returns None. Raises ``ValueError`` for messages without ``order``, and for
    ``slight``, which 1.0 had.
    """
    if slight:
        raise ValueError("enforce_ordering has no slight mode any more; leave the argument out")
    if func is None:
        return _in_order
    return _in_order(func)


def _in_order(func: Callable[P, R]) -> Callable[P, R | None]:
    @functools.wraps(func)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R | None:
        with session_scope(message_of(args, "enforce_ordering")) as scope:
            return func(*args, **kwargs) if take_turn(scope) else None

    channel_sessions.used = True
    # Decorators around this one take it over, so that it can be seen whether a consumer has it.
    cast(Any, inner).enforces_ordering = True
    return inner


def enforces_ordering(consumer: Any) -> bool:
    """Whether a consumer is decorated, or a class or demultiplexer of such, or a method of one."""
    return bool(
        getattr(consumer, "enforces_ordering", False)
        or getattr(consumer, "strict_ordering", False)
        or getattr(getattr(consumer, "__self__", None), "strict_ordering", False)
        or any(map(enforces_ordering, getattr(consumer, "consumers", {}).values()))
    )


def take_turn(scope: SessionScope) -> bool:
    """Whether it is the turn of the scope's message; if not, it waits, or is not to be consumed."""
    if scope.has_turn:
        return True
    order = _order_of(scope.message)
    session = scope.channel_session()
    turn = _turn(session, scope.message, order)
    if order == turn or (order < turn and _is_last(scope)):
        return _accept(scope, order)
    if order < turn:
        logger.warning(
            "A message with order %d came again, or too late, when it was the turn of %d; it was "
            "dropped.",
            order,
            turn,
        )
        return scope.abandon()
    return _wait(scope, order, turn)


def _order_of(message: Message) -> int:
    order = message.content.get("order")
    if not isinstance(order, int):
        raise ValueError(
            f"enforce_ordering needs messages with an 'order', as those of WebSockets; {message!r} "
            f"has {order!r}"
        )
    return order


def _turn(session: ChannelSession, message: Message, order: int) -> int:
    """The order whose turn it is.

    Before the first message was consumed in order that is 0, or 1 where nobody will count the
    connection: then its consumer has ended before anything else came.
    """
    turn: int | None = session.get(STATE_KEY)
    if turn is not None:
        return turn
    return 0 if order == 0 or connects_in_order(message) else 1


def connects_in_order(message: Message) -> bool:
    """Whether the consumer that got the connection of this message's socket is decorated."""
    router = getattr(message.channel_layer, "router", None)
    if router is None:
        return False
    connection = Message(message.content, "websocket.connect", message.channel_layer)
    match = router.match(connection)
    return match is not None and enforces_ordering(match[0])


def _is_last(scope: SessionScope) -> bool:
    return scope.is_on("websocket.disconnect")


def _accept(scope: SessionScope, order: int) -> bool:
    """Have the consumer run, then count its message and let the next one have its turn."""
    scope.has_turn = True
    session = scope.channel_session()

    def count() -> None:
        _send_replies()
        session[STATE_KEY] = order + 1

    if not _is_last(scope):
        message = scope.message
        assert message.reply_channel is not None
        if message.channel_layer is not None:
            lease = leases.begin(message.channel_layer, message.reply_channel.name)
            scope.at_exit.append(functools.partial(leases.end, lease))
        scope.before_save.append(count)
        scope.after_save.append(functools.partial(_release, message, order + 1))
    return True


def _send_replies() -> None:
    """Send what the consumer has sent, so that what the next one sends comes after it."""
    try:
        pending_message_store.flush()
    except Exception as error:  # as after any consumer
        logger.error("Cannot send a message of a finished consumer: %s", error, exc_info=error)


def _wait(scope: SessionScope, order: int, turn: int) -> bool:
    """Have the message wait; True where its turn has come meanwhile."""
    message, session = scope.message, scope.channel_session()
    assert message.reply_channel is not None and message.channel is not None
    layer, name = message.channel_layer, message.reply_channel.name
    if order > turn + AHEAD_LIMIT:
        if how_it_ended(layer, name) is None:
            reason = f"{order - turn} more came meanwhile, over {AHEAD_LIMIT}"
            give_up(layer, name, turn, reason, _TRY_AGAIN_LATER, highest=order)
        if not _is_last(scope):
            return scope.abandon()
    room = WaitingRoom(layer, name)
    room.park({ORIGINAL_CHANNEL: message.channel.name, **message.content})
    session.reload()
    ended = None
    if _is_last(scope) or STATE_KEY not in session:
        ended = how_it_ended(layer, name)
    if order > _turn(session, message, order) and ended is None:
        watcher.watch(layer, name, session.get(STATE_KEY), order)
        return scope.abandon()
    own, others = room.take(order)
    if own is None:
        # Somebody else has it, who runs it. Who looked for others in the meantime has missed these.
        park_and_look(room, name, others)
        return scope.abandon()
    message.carried.extend(others)
    if ended == GIVEN_UP and not _is_last(scope):
        park_again(layer, message.carried)
        return scope.abandon()
    return _accept(scope, order)


def _release(message: Message, turn: int) -> None:
    """Run the message whose turn it is, if it waits."""
    assert message.reply_channel is not None
    room = WaitingRoom(message.channel_layer, message.reply_channel.name)
    hand = {content["order"]: content for content in message.carried}
    message.carried.clear()
    content = hand.pop(turn, None)
    if content is None:
        content, others = room.take(turn)
        hand.update((other["order"], other) for other in others)
    if content is None:
        park_and_look(room, message.reply_channel.name, list(hand.values()))
    else:
        _pass_on(room, content, list(hand.values()), message)


def _pass_on(
    room: WaitingRoom, content: dict[str, Any], rest: list[dict[str, Any]], message: Message
) -> None:
    """Give a message whose turn it is to the worker that ran the one before, if it takes it.

    With it go the ``rest`` of those that were taken out: it will be their turn next.
    """
    channel, as_it_came = original(content)
    if message.run_next is None or not message.run_next(channel, as_it_came, rest):
        room.park(*rest)
        room.requeue(content)
