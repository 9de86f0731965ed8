"""How many messages other clients have at hand: the broker counts only those in the queue.

Every client consumes a queue that stays empty; so the broker knows how many clients there are, and
whoever asks how many answers to wait for.
"""

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

from channels.layers.rabbitmq.replies import Reply

if TYPE_CHECKING:
    from channels.layers.rabbitmq.engine import Engine

__all__ = ["Holdings"]

#: Seconds to wait for the answers of clients, one of which may have died meanwhile.
_PATIENCE = 1.0


class _Question:
    """What was answered so far."""

    def __init__(self, clients: int) -> None:
        self.missing = clients
        self.counts: Counter[str] = Counter()
        self.reply: Reply[None] = Reply()


class Holdings:
    """Asks, and answers, for one engine. Runs in the engine's thread."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Question] = {}

    async def counts(self) -> Counter[str]:
        """The messages that clients have at hand, by channel."""
        session = await self._engine.ready()
        number, question = next(self._numbers), _Question(await session.clients())
        self._asked[number] = question
        try:
            await session.journal.operate(do="hold", client=self._engine.client, number=number)
            self._engine.call_later(_PATIENCE, lambda: question.reply.succeed(None))
            await question.reply
        finally:
            del self._asked[number]
        return question.counts

    def asked(self, operation: dict[str, Any]) -> None:
        """Somebody asks: answer."""
        counts, session = self._engine.at_hand(), self._engine.session
        notice = {"do": "held", "number": operation["number"], "counts": counts}
        if operation["client"] == self._engine.client:
            self.told(notice)
        elif session is not None:
            session.journal.notify(operation["client"], **notice)

    def told(self, notice: dict[str, Any]) -> None:
        """Somebody answers."""
        question = self._asked.get(notice["number"])
        if question is not None:
            question.counts.update(notice["counts"])
            question.missing -= 1
            if question.missing <= 0:
                question.reply.succeed(None)
