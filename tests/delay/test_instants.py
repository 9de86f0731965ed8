"""Tests of points in time: exact in every time zone, with and without USE_TZ."""

import datetime

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.test import override_settings
from django.utils import timezone

from channels.delay import instants
from channels.delay.models import DelayedMessage

#: Nothing here has two forms.
pytestmark = pytest.mark.compiled_only

UTC = datetime.UTC

#: When Berlin's clocks went back, and the hour from 2 to 3 came twice.
TWICE = datetime.datetime(2025, 10, 26, 1, 0, tzinfo=UTC)


def through_database(date):
    """``date`` as the database gives it back."""
    message = DelayedMessage(channel_name="a", content={}, due_date=date)
    DelayedMessage.objects.bulk_create([message])
    return DelayedMessage.objects.get(pk=message.pk).due_date


def test_a_date_comes_back_in_utc(database):
    date = datetime.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    abroad = date.astimezone(datetime.timezone(datetime.timedelta(hours=9)))

    assert through_database(abroad) == date
    assert through_database(date).utcoffset() == datetime.timedelta(0)


@pytest.mark.parametrize("minutes", [-61, -60, -31, -1, 0, 29, 59, 60])
def test_hours_that_come_twice_are_told_apart_without_time_zones(database, minutes):
    instant = instants.microseconds(TWICE + datetime.timedelta(minutes=minutes))

    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin"):
        naive = instants.from_microseconds(instant)
        assert timezone.is_naive(naive)
        assert naive.hour in {1, 2, 3}
        assert instants.microseconds(naive) == instant
        assert instants.microseconds(through_database(naive)) == instant


@pytest.mark.parametrize("year", [1, 1969, 1970, 2038, 9999])
def test_every_year_has_its_instants(database, year):
    date = datetime.datetime(year, 6, 1, 1, 2, 3, 4, tzinfo=UTC)

    assert through_database(date) == date


def test_dates_are_compared_and_ordered_in_the_database(database):
    dates = [datetime.datetime(2026, 1, day, tzinfo=UTC) for day in (3, 1, 2)]
    for date in dates:
        through_database(date)

    rows = DelayedMessage.objects.order_by("due_date")
    assert list(rows.values_list("due_date", flat=True)) == sorted(dates)
    assert rows.filter(due_date__gt=dates[1], due_date__lte=dates[2]).count() == 1
    assert rows.filter(due_date__in=dates[:2]).count() == 2


def test_serializers_keep_dates_to_the_millisecond():
    date = datetime.datetime(2026, 1, 1, 1, 2, 3, 4000, tzinfo=UTC)
    message = DelayedMessage(channel_name="a", content={"b": b"\xff"}, due_date=date)

    (again,) = serializers.deserialize("json", serializers.serialize("json", [message]))

    assert again.object.due_date == date
    assert again.object.claimed_until is None
    assert again.object.content == {"b": b"\xff"}


@pytest.mark.parametrize("value", ["tomorrow", "2026-13-01 00:00", 1.5, b"x"])
def test_what_is_no_date_is_refused(value):
    with pytest.raises(ValidationError, match="is no date and time"):
        DelayedMessage._meta.get_field("due_date").to_python(value)
