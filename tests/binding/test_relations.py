"""Tests of relations to many: from which side, of which model, and by how many bindings."""

import pytest

from tests.binding.models import Card, Club, Coin, Member, Tag, Venue


@pytest.fixture
def red():
    return Tag.objects.create(name="red")


@pytest.mark.parametrize(
    "change",
    [
        lambda one, other: one.friends.add(other),
        lambda one, other: one.friends.set([other]),
    ],
)
def test_both_sides_of_a_symmetrical_relation_are_told(listening, change):
    both = listening("MemberBinding.a", "MemberBinding.b")
    one, other = Member.objects.create(room="a"), Member.objects.create(room="b")
    both.hears()
    change(one, other)
    heard = {group: (action, payload["data"]["friends"]) for group, action, payload in both.hears()}
    assert heard == {
        "MemberBinding.a": ("update", [other.pk]),
        "MemberBinding.b": ("update", [one.pk]),
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda one, other: one.friends.remove(other),
        lambda one, other: one.friends.set([]),
        lambda one, other: one.friends.clear(),
    ],
)
def test_both_sides_that_a_symmetrical_relation_leaves_are_told(listening, change):
    both = listening("MemberBinding.a", "MemberBinding.b")
    one, other = Member.objects.create(room="a"), Member.objects.create(room="b")
    one.friends.add(other)
    both.hears()
    change(one, other)
    heard = [(group, action, payload["data"]["friends"]) for group, action, payload in both.hears()]
    assert heard == [("MemberBinding.a", "update", []), ("MemberBinding.b", "update", [])]


def test_each_binding_of_a_model_tells_of_a_change_from_the_other_side(listening):
    both = listening("MemberBinding.a", "MemberNamesBinding.a")
    one, other = Member.objects.create(room="a"), Member.objects.create(room="b")
    both.hears()
    other.friends.add(one)
    assert both.actions() == [("MemberBinding.a", "update"), ("MemberNamesBinding.a", "update")]


def test_relations_of_the_models_of_an_abstract_one_are_told(listening, red):
    both = listening("TaggedBinding.red", "TaggedBinding.1")
    card, coin = Card.objects.create(), Coin.objects.create()
    both.hears()
    card.tags.add(red)
    ((group, action, payload),) = both.hears()
    assert (group, action, payload["data"]["tags"]) == ("TaggedBinding.red", "update", [red.pk])
    coin.tags.add(red)
    assert both.actions() == [("TaggedBinding.1", "update")]


def test_relations_of_other_models_are_none_of_an_abstract_ones(listening, red):
    Venue.objects.create(room="a").tags.add(red)


def test_groups_may_depend_on_different_fields_of_the_models_of_an_abstract_one(listening):
    both = listening("TaggedBinding.blue", "TaggedBinding.5")
    card, coin = Card.objects.create(), Coin.objects.create()
    card.color, coin.worth = "blue", 5
    for _ in range(2):
        card.save()
        coin.save()
    assert sorted(both.actions()) == [
        *(("TaggedBinding.5", "create"), ("TaggedBinding.5", "update")),
        *(("TaggedBinding.blue", "create"), ("TaggedBinding.blue", "update")),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda venue, tag: venue.tags.add(tag),
        lambda venue, tag: tag.venue_set.add(venue),
    ],
)
def test_a_childs_relation_may_be_changed_as_its_parents(listening, red, change):
    jazz = listening("ClubBinding.jazz")
    club = Club.objects.create(room="a")
    other = Venue.objects.create(room="a")  # no club
    jazz.hears()
    change(Venue.objects.get(pk=club.pk), red)
    change(other, red)
    assert [(action, payload["pk"]) for _, action, payload in jazz.hears()] == [("update", club.pk)]
