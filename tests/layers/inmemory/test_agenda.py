"""Deadlines that move."""

import random
from dataclasses import dataclass

from channels.layers.inmemory.agenda import Agenda


@dataclass(eq=False)
class Item:
    deadline: float | None
    scheduled: bool = False

    def due(self) -> float | None:
        return self.deadline


def test_the_first_deadline_is_found_after_deadlines_moved() -> None:
    agenda: Agenda[Item] = Agenda()
    early, late = Item(1.0), Item(2.0)
    for item in (late, early):
        agenda.add(item)
    assert agenda.first() == (1.0, early)
    early.deadline = 3.0
    assert agenda.first() == (2.0, late)
    late.deadline = None
    assert agenda.first() == (3.0, early)
    assert (early.scheduled, late.scheduled) == (True, False)


def test_an_item_without_a_deadline_is_not_listed() -> None:
    agenda: Agenda[Item] = Agenda()
    item = Item(None)
    agenda.add(item)
    assert agenda.first() is None
    assert not item.scheduled


def test_items_that_were_emptied_are_dropped_once_they_are_many() -> None:
    unlisted: list[Item] = []
    agenda: Agenda[Item] = Agenda(unlisted.append)
    kept = Item(5.0)
    agenda.add(kept)
    for number in range(10_000):
        item = Item(1000.0 + number)
        agenda.add(item)
        item.deadline = None
        agenda.emptied()
        assert len(agenda.heap) < 200
    assert agenda.first() == (5.0, kept)
    assert len(unlisted) > 9_000
    assert not any(item.scheduled for item in unlisted)


def test_the_first_deadline_is_the_least_whatever_happened() -> None:
    chance = random.Random(1)
    agenda: Agenda[Item] = Agenda()
    items: list[Item] = []
    for _ in range(2000):
        action = chance.random()
        item = chance.choice(items) if items and action < 0.6 else Item(chance.random())
        if item not in items:
            items.append(item)
            agenda.add(item)
        elif action < 0.3 and item.deadline is not None:
            item.deadline += chance.random()
        elif item.deadline is not None:
            item.deadline = None
            agenda.emptied()
        deadlines = [item.deadline for item in items if item.deadline is not None]
        first = agenda.first()
        assert (first and first[0]) == min(deadlines, default=None)
