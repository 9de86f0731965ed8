"""Tests of what clients may change, and of what is refused."""

import json
import logging

import pytest
from django.contrib.auth.models import AnonymousUser

from channels import route
from channels.binding.base import Binding, BindingMetaclass
from channels.binding.websockets import WebsocketBinding
from tests.binding.bindings import Demultiplexer, PostBinding
from tests.binding.models import Named, Notice, Post, Shape, Tag
from tests.generic.sockets import Socket


@pytest.fixture(autouse=True)
def nobody_asked():
    PostBinding.asked.clear()
    PostBinding.allowed.yes = True


@pytest.fixture
def socket():
    return Socket(Demultiplexer)


@pytest.fixture
def post():
    return Post.objects.create(room="a", title="one")


def asks(socket, **payload):
    """What the socket gets where it asks for a change."""
    return socket.says({"stream": "posts", "payload": payload})


def test_create(socket):
    asks(socket, action="create", data={"room": "a", "title": "new", "likes": "7"})
    post = Post.objects.get()
    assert (post.room, post.title, post.likes, post.secret) == ("a", "new", 7, "hidden")


def test_update(socket, post):
    asks(socket, action="update", pk=post.pk, data={"title": "new", "price": "2.50"})
    post.refresh_from_db()
    assert (post.room, post.title, str(post.price)) == ("a", "new", "2.50")


def test_delete(socket, post):
    asks(socket, action="delete", pk=post.pk)
    assert not Post.objects.exists()


def test_relations_are_primary_keys(socket, post):
    red, blue = (Tag.objects.create(name=name).pk for name in ("red", "blue"))
    data = {"room": "a", "title": "child", "parent": post.pk, "tags": [red, str(blue)]}
    asks(socket, action="create", data=data)
    child = Post.objects.get(title="child")
    assert child.parent == post
    assert set(child.tags.values_list("pk", flat=True)) == {red, blue}
    asks(socket, action="update", pk=child.pk, data={"parent": None, "tags": []})
    child.refresh_from_db()
    assert (child.parent, child.tags.count()) == (None, 0)


def test_structured_values_are_for_fields_that_hold_them(socket, post):
    asks(socket, action="update", pk=post.pk, data={"extra": {"deep": [1]}})
    post.refresh_from_db()
    assert post.extra == {"deep": [1]}


def test_data_binding_never_writes_fields_that_are_not_listed(socket, post):
    data = {"title": "new", "secret": "stolen", "id": 77, "post": 1}
    data.pop("post")
    asks(socket, action="update", pk=post.pk, data=data)
    asks(socket, action="create", data={"room": "b", "title": "other", "secret": "s", "id": 99})
    found = Post.objects.order_by("pk").values_list("title", "secret")
    assert list(found) == [("new", "hidden"), ("other", "hidden")]
    assert not Post.objects.filter(pk__in=[77, 99]).exists()


def test_the_permission_is_asked_first_with_user_action_and_primary_key(socket, post, caplog):
    PostBinding.allowed.yes = False
    with caplog.at_level(logging.WARNING):
        asks(socket, action="update", pk=post.pk, data={"title": "new"})
        asks(socket, action="delete", pk=post.pk)
        asks(socket, action="create", data={"room": "a"})
    assert list(Post.objects.values_list("title")) == [("one",)]
    users, actions, keys = zip(*PostBinding.asked, strict=True)
    assert all(isinstance(user, AnonymousUser) for user in users)
    assert list(zip(actions, keys, strict=True)) == [
        *(("update", post.pk), ("delete", post.pk), ("create", None)),
    ]
    assert [record.exc_info for record in caplog.records] == [None] * 3
    assert "has no permission to 'update'" in caplog.text


REFUSED = {
    "unknown action": {"action": "drop", "pk": 1},
    "no action": {"pk": 1, "data": {}},
    "action that is no name": {"action": ["update"], "pk": 1, "data": {}},
    "unknown row": {"action": "update", "pk": 10_000, "data": {"title": "new"}},
    "unknown row to delete": {"action": "delete", "pk": 10_000},
    "no row": {"action": "update", "data": {"title": "new"}},
    "no row to delete": {"action": "delete"},
    "row that is no key": {"action": "update", "pk": "x", "data": {"title": "new"}},
    "row that is an object": {"action": "delete", "pk": {"pk__gt": 0}},
    "row that is a list": {"action": "delete", "pk": [1]},
    "huge row": {"action": "delete", "pk": 10**30},
    "no data": {"action": "update", "pk": 1},
    "data that is no object": {"action": "update", "pk": 1, "data": ["title"]},
    "unknown field": {"action": "update", "pk": 1, "data": {"title": "new", "other": 1}},
    "lookup": {"action": "update", "pk": 1, "data": {"parent__title": "new"}},
    "too long": {"action": "update", "pk": 1, "data": {"likes": 5, "title": "x" * 21}},
    "no number": {"action": "update", "pk": 1, "data": {"title": "new", "likes": "many"}},
    "huge number": {"action": "update", "pk": 1, "data": {"title": "new", "likes": 10**30}},
    "object for a text": {"action": "update", "pk": 1, "data": {"title": {"a": 1}}},
    "empty": {"action": "update", "pk": 1, "data": {"title": ""}},
    "null": {"action": "update", "pk": 1, "data": {"title": None}},
    "no such parent": {"action": "update", "pk": 1, "data": {"title": "new", "parent": 10_000}},
    "no such tag": {"action": "update", "pk": 1, "data": {"title": "new", "tags": [10_000]}},
    "tags that are no list": {"action": "update", "pk": 1, "data": {"tags": "12"}},
    "tags that are no keys": {"action": "update", "pk": 1, "data": {"tags": [{"pk": 1}]}},
    "NUL": {"action": "update", "pk": 1, "data": {"title": "a\0b"}},
}


@pytest.mark.parametrize("payload", REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_changes_nothing_and_is_logged_in_one_line(payload, socket, caplog):
    Post(pk=1, room="a", title="one").save()
    with caplog.at_level(logging.WARNING):
        assert asks(socket, **payload) == []
    assert list(Post.objects.values_list("pk", "title", "likes")) == [(1, "one", 0)]
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert "PostBinding refused a change" in record.getMessage()
    assert len(record.getMessage()) < 400


def test_what_the_database_refuses_changes_nothing(caplog):
    class TagBinding(WebsocketBinding):
        model = Tag
        stream = "tags"
        fields = ["name"]

        @classmethod
        def group_names(cls, instance):
            return []

        def has_permission(self, user, action, pk):
            return True

    Tag.objects.create(name="red")
    socket = Socket(route("websocket.receive", TagBinding.consumer))
    socket.does("receive", text=json.dumps({"action": "create", "data": {"name": "red"}}))
    assert Tag.objects.count() == 1
    assert "TagBinding refused a change: the database does not take it" in caplog.text


def test_frames_that_hold_no_json_are_refused(caplog):
    socket = Socket(route("websocket.receive", PostBinding.consumer))
    for frame in ({"text": "{"}, {"text": "[" * 100_000}, {"bytes": b"{}"}, {"text": "[]"}, {}):
        assert socket.does("receive", **frame) == []
    assert caplog.text.count("PostBinding refused a change") == 5


def test_a_binding_may_answer_refusals_itself(post):
    class Answering(PostBinding):
        model = None

        def refused(self, error):
            self.kwargs["multiplexer"].send({"refused": str(error)})

    class Other(Demultiplexer):
        consumers = {"posts": Answering.consumer}

    Answering.model = Post
    (answer,) = asks(Socket(Other), action="update", pk=post.pk, data={"likes": "many"})
    assert "the value of 'likes' is not valid" in json.loads(answer["text"])["payload"]["refused"]


def test_connects_and_disconnects_change_nothing(socket):
    assert socket.does("connect") == [{"accept": True}]
    socket.does("disconnect")
    assert PostBinding.asked == []


def test_a_change_is_told_to_all_who_listen(socket, listening):
    a = listening("posts.a")
    asks(socket, action="create", data={"room": "a", "title": "new"})
    assert a.actions() == [("posts.a", "create")]


def test_other_streams_are_bound_as_well(socket):
    socket.says({"stream": "notices", "payload": {"action": "create", "data": {"text": "hello"}}})
    assert Notice.objects.get().text == "hello"


# What is wrong with a binding


def make(**body):
    return BindingMetaclass("MadeBinding", (WebsocketBinding,), {"__module__": __name__, **body})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": Named}, "has to state which fields"),
        ({"fields": ["name"]}, "has no model"),
        ({"model": Named, "fields": ["name", "unknown"]}, "the field 'unknown'"),
        ({"model": Named, "exclude": ["unknown"]}, "the field 'unknown'"),
    ],
)
def test_a_binding_that_misses_something_is_refused_as_it_is_defined(body, message):
    known = list(BindingMetaclass.binding_classes)
    with pytest.raises(ValueError, match=message):
        make(**body)
    BindingMetaclass.binding_classes[:] = known


def test_a_binding_whose_model_is_none_in_its_own_body_is_a_base_for_others():
    assert make(model=None) not in BindingMetaclass.binding_classes
    assert issubclass(make(model=None), Binding)


def test_the_base_says_what_has_to_be_written():
    base = make(model=None)()
    for call in (lambda: base.has_permission(None, "create", None), lambda: base.group_names(1)):
        with pytest.raises(NotImplementedError, match="MadeBinding has to define"):
            call()
    with pytest.raises(NotImplementedError):
        Binding.encode("stream", {})


def test_slight_ordering_is_refused():
    base = make(model=None, slight_ordering=True)
    with pytest.raises(ValueError, match="use strict_ordering"):
        base.get_handler()


def test_an_abstract_model_has_fields_for_those_of_its_models():
    assert Shape._meta.abstract
