"""Tests of relations to many: from which side, of which model, and by how many bindings."""

import pytest
from django.contrib.contenttypes.models import ContentType

from tests.binding.bindings import Demultiplexer
from tests.binding.models import Card, Club, Coin, Mark, Member, Place, Post, Tag, Venue
from tests.generic.sockets import Socket


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


# Relations to rows of any model


def test_groups_may_depend_on_a_row_of_any_model(listening):
    groups = listening("marks", "marks.a", "marks.b")
    place, post = Place.objects.create(room="a"), Post.objects.create(room="b", title="one")
    mark = Mark.objects.create(marked=place)
    ((group, action, payload),) = groups.hears()
    content_type = ContentType.objects.get_for_model(Place)
    assert (group, action) == ("marks.a", "create")
    assert payload["data"] == {
        "content_type": content_type.pk,
        "object_id": place.pk,
        "marked__room": "a",
        "content_type__model": "place",
    }
    mark.marked = post
    mark.save()
    assert groups.actions() == [("marks.a", "delete"), ("marks.b", "create")]
    mark.marked = None
    mark.save()
    (group, action, payload), left = groups.hears()
    assert (left[:2], group, action) == (("marks.b", "delete"), "marks", "create")
    assert set(payload["data"].values()) == {None}


def test_a_client_writes_the_fields_of_such_a_relation_and_not_itself():
    place = Place.objects.create(room="a")
    mark = Mark.objects.create()
    content_type = ContentType.objects.get_for_model(Place)
    data = {"content_type": content_type.pk, "object_id": place.pk, "marked": "anything"}
    payload = {"action": "update", "pk": mark.pk, "data": data}
    Socket(Demultiplexer).says({"stream": "marks", "payload": payload})
    assert Mark.objects.get().marked == place
