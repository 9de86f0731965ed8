"""Tests of the migrations: complete, and they take over what was pending in 1.x."""

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, models

from channels.delay.models import DelayedMessage
from tests.delay.databases import ALIAS

#: Nothing here has two forms.
pytestmark = pytest.mark.compiled_only

UTC = datetime.UTC


class OldMessage(models.Model):
    """The model of 1.x, whose label was ``channels.delay``."""

    due_date = models.DateTimeField(db_index=True)
    channel_name = models.CharField(max_length=512)
    content = models.TextField()

    class Meta:
        app_label = "bound"
        managed = False
        db_table = "channels.delay_delayedmessage"


@pytest.fixture
def before(database: Any) -> Iterator[None]:
    """The database before the migrations, with the table of 1.x."""
    call_command("migrate", "channels_delay", "zero", database=ALIAS, verbosity=0)
    OldMessage._meta.managed = True
    with connections[ALIAS].schema_editor() as editor:
        editor.create_model(OldMessage)
    yield
    with connections[ALIAS].schema_editor() as editor:
        editor.delete_model(OldMessage)
    call_command("migrate", "channels_delay", database=ALIAS, verbosity=0)


def test_there_is_no_change_without_a_migration():
    call_command("makemigrations", "channels_delay", check=True, dry_run=True, verbosity=0)


def test_pending_messages_of_1x_are_moved(before):
    dates = [datetime.datetime(2017, 5, day, 1, 2, 3, 456789, tzinfo=UTC) for day in (2, 1)]
    contents = ['{"n": 1, "text": "\\u00e9"}', '{"n": 2}']
    for date, content in zip(dates, contents, strict=True):
        OldMessage.objects.using(ALIAS).create(due_date=date, channel_name="a", content=content)
    for content in ("no json", "[1]"):
        OldMessage.objects.using(ALIAS).create(due_date=dates[0], channel_name="b", content=content)

    call_command("migrate", "channels_delay", database=ALIAS, verbosity=0)

    moved = DelayedMessage.objects.pending().order_by("due_date")
    assert [(each.due_date, each.channel_name, each.content) for each in moved] == [
        (dates[1], "a", {"n": 2}),
        (dates[0], "a", {"n": 1, "text": "\u00e9"}),
    ]
    dead = DelayedMessage.objects.dead()
    assert {bytes(each.body) for each in dead} == {b"no json", b"[1]"}
    assert all("of 1.x" in each.error for each in dead)
    assert not OldMessage.objects.using(ALIAS).exists()


def test_migrations_can_be_undone(before):
    call_command("migrate", "channels_delay", database=ALIAS, verbosity=0)
    call_command("migrate", "channels_delay", "zero", database=ALIAS, verbosity=0)

    assert DelayedMessage._meta.db_table not in connections[ALIAS].introspection.table_names()


def test_the_due_date_has_an_index_that_finds_what_is_due(database):
    with connections[ALIAS].cursor() as cursor:
        found = connections[ALIAS].introspection.get_constraints(
            cursor, DelayedMessage._meta.db_table
        )
    columns = [each["columns"] for each in found.values() if each["index"]]
    assert ["layer", "state", "due_date", "key"] in columns
