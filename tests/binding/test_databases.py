"""Tests of bindings of models that live in another database, where a router has them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, models, router, transaction

from tests.binding.bindings import Demultiplexer
from tests.binding.models import Member, Post, Sheet, Tag
from tests.generic.sockets import Socket

ALIAS = "other"


class Apart:
    """Has all bound models written to a database of their own, and read from nowhere else."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return ALIAS if model._meta.app_label == "bound" else None

    db_for_write = db_for_read


class Replicated(Apart):
    """Has them read from another one, which is behind."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return "default" if model._meta.app_label == "bound" else None

    def allow_relation(self, *instances: models.Model, **hints: Any) -> bool:
        return True


@pytest.fixture
def other(tmp_path) -> Iterator[None]:
    """Another database, which has some of the tables."""
    name = str(tmp_path / "other.sqlite3")
    connections.settings[ALIAS] = {**connections.settings["default"], "NAME": name}
    with connections[ALIAS].schema_editor() as editor:
        for model in (Tag, Member, Post, Sheet):
            editor.create_model(model)
    yield
    connections[ALIAS].close()
    del connections[ALIAS], connections.settings[ALIAS]


@pytest.fixture(params=[Apart, Replicated])
def apart(request, other, monkeypatch) -> None:
    monkeypatch.setattr(router, "routers", [request.param()])


def asks(stream: str, **payload: Any) -> None:
    Socket(Demultiplexer).does("receive", text=json.dumps({"stream": stream, "payload": payload}))


def test_groups_follow_an_instance_of_another_database(apart, listening):
    both = listening("posts.a", "posts.b")
    post = Post.objects.create(room="a", title="one")
    Post(pk=post.pk, room="b", title="one").save()
    post.tags.add(Tag.objects.create(name="red"))
    assert both.actions() == [
        *(("posts.a", "create"), ("posts.a", "delete")),
        *(("posts.b", "create"), ("posts.b", "update")),
    ]


def test_a_row_of_one_database_is_none_of_another(other, listening):
    a, b = listening("posts.a"), listening("posts.b")
    post = Post.objects.create(room="a", title="one")
    Post(pk=post.pk, room="b", title="one").save(using=ALIAS)
    assert (a.actions(), b.actions()) == ([("posts.a", "create")], [("posts.b", "create")])
    post.room = "b"
    post.save(using=ALIAS)
    assert (a.actions(), b.actions()) == ([], [("posts.b", "update")])


def test_it_is_told_when_that_database_has_committed(apart, listening):
    a = listening("posts.a")
    with transaction.atomic():
        with transaction.atomic(using=ALIAS):
            Post.objects.create(room="a", title="one")
            assert a.hears() == []
        assert a.actions() == [("posts.a", "create")]
    with transaction.atomic(using=ALIAS):
        Post.objects.create(room="a", title="two")
        transaction.set_rollback(True, using=ALIAS)
    assert a.hears() == []


def test_clients_change_what_is_there(apart):
    red = Tag.objects.create(name="public red")
    asks("sheets", action="create", data={"room": "a", "count": 2, "tags": [red.pk]})
    sheet = Sheet.objects.using(ALIAS).get()
    assert list(sheet.tags.using(ALIAS).all()) == [red]
    asks("sheets", action="update", pk=sheet.pk, data={"count": 3})
    sheet.refresh_from_db(using=ALIAS)
    assert (sheet.room, sheet.count) == ("a", 3)
    asks("sheets", action="delete", pk=sheet.pk)
    assert not Sheet.objects.using(ALIAS).exists()
