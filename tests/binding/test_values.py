"""Tests of fields that clients may not write, and of values that would harm who reads them."""

import datetime
import json
import logging

import pytest

from channels import route
from channels.binding.base import BindingMetaclass
from channels.binding.websockets import WebsocketBinding
from tests.binding.bindings import Demultiplexer, PostBinding, TaggedBinding
from tests.binding.models import Member, Post, Sheet, Tag
from tests.generic.sockets import Socket


@pytest.fixture(autouse=True)
def allowed():
    PostBinding.allowed.yes = True
    PostBinding.asked.clear()


def asks(**payload):
    return Socket(Demultiplexer).says({"stream": "sheets", "payload": payload})


def make(**body):
    return BindingMetaclass("MadeBinding", (WebsocketBinding,), {"__module__": __name__, **body})


# What clients cannot write


def test_fields_that_are_not_editable_and_files_are_told_and_never_written(listening):
    a = listening("SheetBinding.a")
    sheet = Sheet.objects.create(room="a", file="own.txt")
    ((_, _, payload),) = a.hears()
    assert (payload["data"]["locked"], payload["data"]["file"]) == ("locked", "own.txt")
    data = {
        **{"count": 3, "locked": "open", "created": "2001-01-01T00:00:00Z"},
        **{"file": "others.txt", "twice": 7},
    }
    asks(action="update", pk=sheet.pk, data=data)
    found = Sheet.objects.get()
    assert (found.count, found.twice, found.locked) == (3, 6, "locked")
    assert (found.created, found.file.name) == (sheet.created, "own.txt")


def test_related_rows_are_those_that_the_field_admits(caplog):
    sheet = Sheet.objects.create(room="a")
    public = Tag.objects.create(name="public").pk
    private = Tag.objects.create(name="private").pk
    asks(action="update", pk=sheet.pk, data={"tags": [public, private]})
    assert not sheet.tags.exists()
    assert "names rows that are not there" in caplog.text
    asks(action="update", pk=sheet.pk, data={"tags": [public]})
    assert [tag.pk for tag in sheet.tags.all()] == [public]


@pytest.mark.parametrize(
    ("number", "message"),
    [(900, "names rows that are not there"), (901, "names more than 900 rows")],
)
def test_a_message_relates_a_bounded_number_of_rows(number, message, caplog):
    sheet = Sheet.objects.create(room="a")
    asks(action="update", pk=sheet.pk, data={"tags": list(range(10**6, 10**6 + number))})
    (record,) = caplog.records
    assert message in record.getMessage()


@pytest.mark.parametrize("content", [{"action": "create"}, {"action": "delete", "pk": 1}])
def test_rows_of_an_abstract_model_are_refused(content, caplog):
    socket = Socket(route("websocket.receive", TaggedBinding.consumer))
    socket.does("receive", text=json.dumps({**content, "data": {"room": "a"}}))
    (record,) = caplog.records
    assert "TaggedBinding refused a change: there are no rows" in record.getMessage()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan", "-inf", "1e999"])
def test_numbers_that_json_cannot_hold_are_refused(value, caplog):
    sheet = Sheet.objects.create(room="a")
    asks(action="update", pk=sheet.pk, data={"ratio": value})
    assert Sheet.objects.get().ratio == 0


def test_text_that_is_no_unicode_is_refused(caplog):
    sheet = Sheet.objects.create(room="a")
    asks(action="update", pk=sheet.pk, data={"room": "\ud800"})
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)


def test_a_time_without_a_zone_is_of_the_current_one(listening, recwarn):
    a = listening("SheetBinding.a")
    sheet = Sheet.objects.create(room="a")
    a.hears()
    asks(action="update", pk=sheet.pk, data={"checked": "2026-01-02T03:04:05"})
    zone = datetime.timezone(-datetime.timedelta(hours=6))  # America/Chicago, Django's own
    assert Sheet.objects.get().checked == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone)
    ((_, _, payload),) = a.hears()
    assert payload["data"]["checked"].endswith("-06:00")
    assert not list(recwarn)


def test_a_time_with_a_zone_is_stored_where_times_have_none(settings_of):
    with settings_of(USE_TZ=False):
        sheet = Sheet.objects.create(room="a")
        asks(action="update", pk=sheet.pk, data={"checked": "2026-01-02T12:00:00Z"})
        (found,) = Sheet.objects.values_list("checked").get()
    assert found == datetime.datetime(2026, 1, 2, 6)  # noqa: DTZ001  # there are no zones


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_could_not_be_read_again_is_refused(value, caplog):
    sheet = Sheet.objects.create(room="a")
    asks(action="update", pk=sheet.pk, data={"checked": value})
    assert Sheet.objects.values_list("checked").get() == (None,)
    assert "SheetBinding refused a change: the value of 'checked' is not valid" in caplog.text


# What is logged


@pytest.mark.parametrize("value", ["1\nERROR forged", "1\x1b[2J", "x" * 100_000])
def test_what_clients_send_cannot_forge_or_fill_the_log(value, caplog):
    sheet = Sheet.objects.create(room="a")
    with caplog.at_level(logging.WARNING):
        asks(action="update", pk=sheet.pk, data={"count": value})
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 500


# Whom the permission is asked about


@pytest.mark.parametrize("as_sent", [str, float, lambda pk: f" {pk} "])
def test_the_permission_is_asked_about_the_row_that_is_changed(as_sent):
    post = Post.objects.create(room="a")
    Socket(Demultiplexer).says(
        {"stream": "posts", "payload": {"action": "delete", "pk": as_sent(post.pk)}}
    )
    assert [asked[1:] for asked in PostBinding.asked] == [("delete", post.pk)]
    assert type(PostBinding.asked[0][2]) is int


@pytest.mark.parametrize("pk", ["x", float("inf"), "9" * 5000, {"pk": 1}])
def test_the_permission_is_not_asked_about_what_is_no_row(pk, caplog):
    Socket(Demultiplexer).says({"stream": "posts", "payload": {"action": "delete", "pk": pk}})
    assert PostBinding.asked == []
    assert all(record.exc_info is None for record in caplog.records)


def test_the_permission_to_create_is_asked_about_no_row():
    Socket(Demultiplexer).says(
        {"stream": "posts", "payload": {"action": "create", "pk": {"a": 1}, "data": {"room": "a"}}}
    )
    assert [asked[1:] for asked in PostBinding.asked] == [("create", None)]


# Which fields are meant


@pytest.mark.parametrize(
    "body",
    [
        {"exclude": ["owner_id"]},
        {"fields": "__all__", "exclude": ["owner"]},
        {"fields": ["room", "owner"], "exclude": ["owner"]},
    ],
)
def test_what_is_excluded_is_never_told(body):
    binding = make(model=Sheet, **body)
    binding.unregister()
    sheet = Sheet.objects.create(room="a", owner=Member.objects.create(room="b"))
    assert "owner" not in binding().serialize_data(sheet)


def test_a_relation_may_be_named_by_its_column():
    binding = make(model=Sheet, fields=["owner_id"])
    binding.unregister()
    owner = Member.objects.create(room="b")
    data = binding().serialize_data(Sheet.objects.create(room="a", owner=owner))
    assert data == {"owner": owner.pk}


@pytest.mark.parametrize(
    "body",
    [
        {"model": Member, "fields": ["room", "sheet"]},
        {"model": Sheet, "fields": ["__all__"], "exclude": ["unknown"]},
    ],
)
def test_names_that_are_no_fields_are_refused_as_the_binding_is_defined(body):
    with pytest.raises(ValueError, match="MadeBinding names the field '(sheet|unknown)'"):
        make(**body)
