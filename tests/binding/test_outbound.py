"""Tests of what clients are told when instances change."""

import datetime
import decimal
import uuid

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from channels.binding import fields as values
from channels.binding.base import BindingMetaclass, sending_at_once
from channels.binding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from tests.binding.bindings import PostBinding
from tests.binding.models import (
    Circle,
    Named,
    Notice,
    Place,
    Post,
    ProxyPlace,
    Restaurant,
    Sheet,
    Square,
    Tag,
    Ticket,
)


def queries(function):
    """How many queries a call makes; those of transactions do not count."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        function()
    return len([query for query in captured if query["sql"].split()[0] in _ROWS])


_ROWS = {"SELECT", "INSERT", "UPDATE", "DELETE"}


# Registration


def test_a_binding_defined_while_apps_are_loaded_is_registered_once_they_are(
    listening, monkeypatch
):
    known = list(BindingMetaclass.binding_classes)
    with monkeypatch.context() as loading:
        # As within ``override_settings(INSTALLED_APPS=...)``, when it imports an app's models.
        loading.setattr(apps, "models_ready", False)

        class TagBinding(WebsocketBinding):
            model = Tag
            stream = "tags"
            fields = ["name"]

            @classmethod
            def group_names(cls, instance):
                return ["tags"]

    try:
        BindingMetaclass.register_all()
        tags = listening("tags")
        Tag.objects.create(name="red")
        assert tags.actions() == [("tags", "create")]
    finally:
        TagBinding.unregister()
        BindingMetaclass.binding_classes[:] = known


# Actions and groups


def test_a_new_instance_is_told_to_its_groups(listening):
    a, b = listening("posts.a"), listening("posts.b")
    post = Post.objects.create(room="a", title="one")
    ((_, action, payload),) = a.hears()
    assert action == "create"
    assert payload == {
        "action": "create",
        "pk": post.pk,
        "model": "bound.post",
        "data": {
            "room": "a",
            "title": "one",
            "likes": 0,
            "written": None,
            "price": None,
            "parent": None,
            "extra": {},
            "tags": [],
        },
    }
    assert b.hears() == []


def test_a_change_is_told_to_the_groups_that_stay(listening):
    a = listening("posts.a")
    post = Post.objects.create(room="a")
    a.hears()
    post.title = "new"
    post.save()
    ((_, action, payload),) = a.hears()
    assert (action, payload["data"]["title"]) == ("update", "new")


def test_groups_that_are_left_get_delete_and_those_that_are_joined_create(listening):
    both = listening("posts.a", "posts.b")
    Post.objects.create(room="a", title="one")
    both.hears()
    post = Post.objects.get()
    post.room, post.title = "b", "moved"
    post.save()
    left, joined = both.hears()
    assert left[:2] == ("posts.a", "delete")
    assert joined[:2] == ("posts.b", "create")
    assert left[2]["data"] == {}, "those who may not see it any more see what it has become"
    assert joined[2]["data"]["title"] == "moved"


def test_an_instance_saved_twice_is_told_twice(listening):
    both = listening("posts.a", "posts.b")
    post = Post.objects.create(room="a")
    for room in ("b", "a", "a"):
        post.room = room
        post.save()
    assert both.actions() == [
        *(("posts.a", "create"), ("posts.a", "delete"), ("posts.a", "create")),
        *(("posts.a", "update"), ("posts.b", "create"), ("posts.b", "delete")),
    ]


def test_an_instance_built_with_its_primary_key_alone_is_compared_with_the_row(listening):
    both = listening("posts.a", "posts.b")
    pk = Post.objects.create(room="a").pk
    both.hears()
    Post(pk=pk, room="b").save()
    assert both.actions() == [("posts.a", "delete"), ("posts.b", "create")]
    Post(pk=pk, room="b").save()
    assert both.actions() == [("posts.b", "update")]
    Post(pk=pk + 1, room="b").save()
    assert both.actions() == [("posts.b", "create")]


def test_an_unsaved_change_of_the_group_does_not_move_an_instance(listening):
    both = listening("posts.a", "posts.b")
    post = Post.objects.create(room="a")
    both.hears()
    post.room, post.title = "b", "new"
    post.save(update_fields=["title"])
    assert both.actions() == [("posts.a", "update")]
    post.save(update_fields=["room"])
    assert both.actions() == [("posts.a", "delete"), ("posts.b", "create")]


def test_a_change_after_a_save_that_was_rolled_back_starts_from_the_row(listening):
    both = listening("posts.a", "posts.b")
    post = Post.objects.create(room="a")
    both.hears()
    post.room = "b"
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        post.save()
        raise ZeroDivisionError
    assert both.hears() == []
    post.save()
    assert both.actions() == [("posts.a", "delete"), ("posts.b", "create")]


def test_another_instance_of_the_row_may_have_changed_it(listening):
    both = listening("posts.a", "posts.b")
    Post.objects.create(room="a")
    first, second = Post.objects.get(), Post.objects.get()
    both.hears()
    first.room = "b"
    first.save()
    both.hears()
    second.save()  # back to the room that it was read with
    assert both.actions() == [("posts.a", "create"), ("posts.b", "delete")]


def test_what_is_no_field_counts_as_it_is_on_the_instance(listening):
    both = listening("posts.a", "posts.a-x")
    post = Post(room="a")
    post.suffix = "-x"
    post.save()
    post.save()
    assert both.actions() == [("posts.a-x", "create"), ("posts.a-x", "update")]


def test_a_deletion_is_told_with_what_was_deleted(listening):
    a = listening("posts.a")
    post = Post.objects.create(room="a", title="one")
    pk = post.pk
    a.hears()
    post.delete()
    ((_, action, payload),) = a.hears()
    assert (action, payload["pk"], payload["data"]["title"]) == ("delete", pk, "one")


def test_a_deletion_is_told_to_the_groups_of_the_row(listening):
    both = listening("posts.a", "posts.b")
    post = Post.objects.create(room="a")
    both.hears()
    post.room = "b"  # never saved
    post.delete()
    assert both.actions() == [("posts.a", "delete")]


def test_deletions_of_a_query_and_of_what_depends_on_a_row_are_told(listening):
    both = listening("posts.a", "posts.b")
    parent = Post.objects.create(room="a")
    Post.objects.create(room="b", parent=parent)
    both.hears()
    Post.objects.filter(pk=parent.pk).delete()
    assert sorted(both.actions()) == [("posts.a", "delete"), ("posts.b", "delete")]


def test_no_group_hears_nothing():
    assert Ticket.objects.create(room="").pk


# Transactions


def test_nothing_is_told_before_the_commit(listening):
    a = listening("posts.a")
    with transaction.atomic():
        post = Post.objects.create(room="a", title="one")
        post.title = "two"
        post.save()
        post.title = "never saved"
        assert a.hears() == []
    heard = [(action, payload["data"]["title"]) for _, action, payload in a.hears()]
    assert heard == [("create", "one"), ("update", "two")]


def test_what_a_savepoint_took_back_is_not_told(listening):
    a = listening("posts.a")
    with transaction.atomic():
        Post.objects.create(room="a", title="kept")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Post.objects.create(room="a", title="gone")
            raise ZeroDivisionError
    assert [payload["data"]["title"] for _, _, payload in a.hears()] == ["kept"]


def test_the_old_way_sends_at_once(listening, settings_of):
    a = listening("posts.a")
    with settings_of(CHANNELS_BINDING_ON_COMMIT=False), transaction.atomic():
        Post.objects.create(room="a")
        assert a.actions() == [("posts.a", "create")]


def test_tests_whose_transactions_never_commit_send_at_once(listening):
    a = listening("posts.a")
    with sending_at_once(), transaction.atomic():
        Post.objects.create(room="a")
        assert a.actions() == [("posts.a", "create")]


def test_a_failure_to_send_does_not_reach_the_program_that_saved(listening, monkeypatch, caplog):
    def fails(*arguments):
        raise ConnectionError("the layer is away")

    monkeypatch.setattr("channels.binding.base.Group.send", fails)
    with transaction.atomic():
        Post.objects.create(room="a")
    Post.objects.create(room="a")
    assert Post.objects.count() == 2
    assert "the layer is away" in caplog.text


# Values


def test_values_travel_as_djangos_serializers_write_them(listening):
    a = listening("posts.a")
    parent = Post.objects.create(room="other")
    Post.objects.create(
        room="a",
        written=datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        price=decimal.Decimal("1.50"),
        parent=parent,
        extra={"deep": [1, None]},
    )
    ((_, _, payload),) = a.hears()
    data = payload["data"]
    assert data["written"] == "2026-01-02T03:04:05Z"
    assert data["price"] == "1.50"
    assert data["parent"] == parent.pk
    assert data["extra"] == {"deep": [1, None]}
    assert "secret" not in data
    assert "id" not in data


def test_a_value_that_the_database_makes_is_told_as_it_is_there(listening):
    a = listening("posts.a")
    post = Post.objects.create(room="a", likes=1)
    a.hears()
    post.likes = F("likes") + 1
    post.title = Value("made")
    post.save()
    ((_, _, payload),) = a.hears()
    assert (payload["data"]["likes"], payload["data"]["title"]) == (2, "made")


def test_an_instance_with_deferred_fields_is_told_whole(listening):
    a = listening("posts.a")
    Post.objects.create(room="a", title="one")
    a.hears()
    post = Post.objects.only("likes").get()
    post.likes = 5
    post.save()
    ((_, action, payload),) = a.hears()
    assert (action, payload["data"]["likes"], payload["data"]["title"]) == ("update", 5, "one")


def test_members_are_told_beside_the_fields(listening):
    notices = listening("notices")
    Notice.objects.create(text="abc")
    ((_, _, payload),) = notices.hears()
    assert payload["data"] == {"text": "abc", "text__upper": "ABC", "_meta__label": "bound.Notice"}


def test_a_member_behind_a_relation_to_nothing_is_none(listening):
    class PlaceWithMenuBinding(WebsocketBindingWithMembers):
        model = Place
        stream = "menus"
        fields = ["room"]
        send_members = ["restaurant.menu.upper"]

        @classmethod
        def group_names(cls, instance):
            return ["menus"]

    try:
        menus = listening("menus")
        Place.objects.create(room="a")
        Restaurant.objects.create(room="a")
        data = [payload["data"]["restaurant__menu__upper"] for _, _, payload in menus.hears()]
        assert data == [None, "SOUP"]
    finally:
        PlaceWithMenuBinding.unregister()
        BindingMetaclass.binding_classes.remove(PlaceWithMenuBinding)


# Relations to many


@pytest.mark.parametrize(
    "change",
    [
        lambda post, tag: post.tags.add(tag),
        lambda post, tag: post.tags.set([tag]),
        lambda post, tag: tag.post_set.add(post),
        lambda post, tag: tag.post_set.set([post]),
    ],
)
def test_a_relation_that_grows_is_a_change(listening, change):
    a = listening("posts.a")
    post, tag = Post.objects.create(room="a"), Tag.objects.create(name="red")
    a.hears()
    change(post, tag)
    ((_, action, payload),) = a.hears()
    assert (action, payload["data"]["tags"]) == ("update", [tag.pk])


@pytest.mark.parametrize(
    "change",
    [
        lambda post, tag: post.tags.remove(tag),
        lambda post, tag: post.tags.clear(),
        lambda post, tag: tag.post_set.remove(post),
        lambda post, tag: tag.post_set.clear(),
    ],
)
def test_a_relation_that_shrinks_is_a_change(listening, change):
    a = listening("posts.a")
    post, tag = Post.objects.create(room="a"), Tag.objects.create(name="red")
    post.tags.add(tag)
    a.hears()
    change(post, tag)
    ((_, action, payload),) = a.hears()
    assert (action, payload["data"]["tags"]) == ("update", [])


def test_a_relation_that_stays_as_it_is_is_no_change(listening):
    a = listening("posts.a")
    post, tag = Post.objects.create(room="a"), Tag.objects.create(name="red")
    post.tags.add(tag)
    a.hears()
    post.tags.add(tag)
    assert a.hears() == []


# Primary keys, inheritance


def test_a_primary_key_that_is_made_beforehand(listening):
    both = listening("TicketBinding.a", "TicketBinding.b")
    ticket = Ticket(room="a")
    ticket.save()
    ((_, action, payload),) = both.hears()
    assert (action, uuid.UUID(payload["pk"])) == ("create", ticket.pk)
    ticket.room = "b"
    ticket.save()
    assert both.actions() == [("TicketBinding.a", "delete"), ("TicketBinding.b", "create")]


def test_a_primary_key_with_a_default_may_be_that_of_a_row(listening):
    both = listening("TicketBinding.a", "TicketBinding.b")
    ticket = Ticket.objects.create(room="a")
    both.hears()
    Ticket(pk=ticket.pk, room="b").save(force_update=True)
    assert both.actions() == [("TicketBinding.a", "delete"), ("TicketBinding.b", "create")]


def test_a_primary_key_that_programs_choose(listening):
    both = listening("NamedBinding.a", "NamedBinding.b")
    Named(name="x", room="a").save()
    ((_, action, payload),) = both.hears()
    assert (action, payload["pk"], payload["data"]) == ("create", "x", {"room": "a"})
    Named(name="x", room="b").save()
    assert both.actions() == [("NamedBinding.a", "delete"), ("NamedBinding.b", "create")]


def test_all_models_of_an_abstract_one_are_bound(listening):
    both = listening("ShapeBinding.a", "ShapeBinding.b")
    circle = Circle.objects.create(room="a")
    square = Square.objects.create(room="b")
    heard = {group: (payload["model"], payload["data"]) for group, _, payload in both.hears()}
    assert heard == {
        "ShapeBinding.a": ("bound.circle", {"room": "a", "radius": 1}),
        "ShapeBinding.b": ("bound.square", {"room": "b", "side": 1}),
    }
    circle.room = "b"
    circle.save()
    square.delete()
    assert both.actions() == [
        *(("ShapeBinding.a", "delete"), ("ShapeBinding.b", "create")),
        ("ShapeBinding.b", "delete"),
    ]


def test_a_child_is_bound_as_its_parent(listening):
    both = listening("PlaceBinding.a", "PlaceBinding.b")
    restaurant = Restaurant.objects.create(room="a")
    ((_, action, payload),) = both.hears()
    assert (action, payload["model"], payload["pk"]) == ("create", "bound.place", restaurant.pk)
    assert payload["data"] == {"room": "a"}
    restaurant.room = "b"
    restaurant.save()
    assert both.actions() == [("PlaceBinding.a", "delete"), ("PlaceBinding.b", "create")]
    restaurant.delete()
    assert both.actions() == [("PlaceBinding.b", "delete")]


def test_a_row_that_a_child_is_added_to_is_changed_not_created(listening):
    both = listening("PlaceBinding.a", "PlaceBinding.b")
    place = Place.objects.create(room="a")
    both.hears()
    restaurant = Restaurant(place_ptr=place, room="b")
    restaurant.save()
    assert both.actions() == [("PlaceBinding.a", "delete"), ("PlaceBinding.b", "create")]
    assert not [name for name in vars(restaurant) if name.startswith("_binding")]
    Restaurant(place_ptr_id=place.pk + 1, room="b").save()
    assert both.actions() == [("PlaceBinding.b", "create")]


def test_a_proxy_is_bound_as_its_model(listening):
    a = listening("PlaceBinding.a")
    place = ProxyPlace.objects.create(room="a")
    Place.objects.get().save()
    place.delete()
    assert [action for _, action in a.actions()] == ["create", "update", "delete"]


# Queries


def test_a_save_whose_groups_do_not_depend_on_the_instance_costs_no_query_more(listening):
    heard = listening("notices")
    notice = Notice(text="a")
    assert queries(notice.save) == 1
    notice.text = "b"
    assert queries(notice.save) == 1
    assert queries(notice.delete) == 1
    assert queries(Notice(pk=7, text="c").save) == 2  # tries to update, and inserts
    assert queries(lambda: Notice(pk=7, text="d").save(update_fields=["text"])) == 1
    assert [action for _, action in heard.actions()] == [
        *("create", "update", "delete", "create", "update"),
    ]


def test_the_fields_of_a_binding_are_found_once(listening, monkeypatch):
    a = listening("posts.a")
    post = Post.objects.create(room="a", title="one")
    monkeypatch.setattr(values, "bound_fields", None)
    post.save()
    assert a.actions() == [("posts.a", "create"), ("posts.a", "update")]


def test_a_save_whose_groups_depend_on_the_instance_costs_one(listening):
    listening("posts.a")
    PostBinding._group_fields = {}
    post = Post(room="a")
    create = queries(post.save)
    assert queries(post.save) == create + 1
    assert queries(post.save) == create + 1  # by now the field is known


# What is left out


def test_fixtures_and_bulk_operations_tell_nothing(listening):
    a = listening("posts.a")
    Post.objects.bulk_create([Post(room="a")])
    Post.objects.update(title="new")
    post = Post.objects.get()
    post.save_base(raw=True)
    assert a.hears() == []
    PostBinding.send_messages(post, PostBinding.group_names(post), "update")
    assert a.actions() == [("posts.a", "update")]


# Saves that are not what they seem


def test_a_save_inside_a_receiver_of_a_save_keeps_the_groups_apart(listening):
    both = listening("posts.a", "posts.b")
    post = Post.objects.create(room="a")
    both.hears()

    def save_again(instance, **kwargs):
        post_save.disconnect(save_again, sender=Post)
        instance.likes += 1
        instance.save()

    receivers = post_save.receivers
    post_save.connect(save_again, sender=Post)
    post_save.receivers = [receivers[-1], *receivers[:-1]]  # before the binding's
    post_save.sender_receivers_cache.clear()
    post.room = "b"
    post.save()
    assert both.actions() == [("posts.a", "delete"), ("posts.b", "update"), ("posts.b", "create")]


def test_an_instance_keeps_nothing_of_a_binding(listening):
    post = Post.objects.create(room="a")
    post.save()
    assert "_binding_group_names" not in vars(post)


def test_what_was_not_saved_is_not_told(listening):
    a = listening("posts.a")
    post = Post.objects.create(room="a", title="saved")
    a.hears()
    post.title, post.likes = "never saved", 5
    post.save(update_fields=["likes"])
    Post(pk=post.pk, likes=6).save(update_fields=["likes"])
    told = [(payload["data"]["title"], payload["data"]["likes"]) for _, _, payload in a.hears()]
    assert told == [("saved", 5), ("saved", 6)]


def test_a_save_of_some_fields_costs_one_query_for_all_others(listening):
    listening("posts.a")
    post = Post.objects.create(room="a")
    post.save()
    whole = queries(post.save)
    assert queries(lambda: post.save(update_fields=["likes"])) == whole + 1


def test_a_field_that_the_database_generates_is_told_as_it_is_there(listening):
    a = listening("SheetBinding.a")
    sheet = Sheet.objects.create(room="a", count=1)
    sheet.count = 5
    sheet.save()
    assert [payload["data"]["twice"] for _, _, payload in a.hears()] == [2, 10]


def test_a_change_of_a_relation_tells_nothing_that_was_not_saved(listening):
    both = listening("posts.a", "posts.b")
    post, tag = Post.objects.create(room="a", title="saved"), Tag.objects.create(name="red")
    both.hears()
    post.room, post.title = "b", "never saved"
    post.tags.add(tag)
    ((group, action, payload),) = both.hears()
    assert (group, action) == ("posts.a", "update")
    assert (payload["data"]["title"], payload["data"]["tags"]) == ("saved", [tag.pk])


def test_an_attribute_that_holds_a_query_costs_nothing(listening):
    listening("notices")
    notice = Notice.objects.create(text="a")
    notice.others = Notice.objects.all()
    assert queries(notice.save) == 1
