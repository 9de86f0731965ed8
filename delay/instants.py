"""Points in time as the delay server stores and compares them: microseconds since the Unix epoch.

A column of dates would be one of local time where ``USE_TZ`` is off, and an hour of each year would
stand for two. Applications see dates as they are used to them.
"""

import datetime
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import dateparse, timezone

__all__ = ["InstantField", "from_microseconds", "microseconds", "now"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def now() -> int:
    """The time of the system's clock in microseconds since the epoch."""
    return time.time_ns() // 1000


def microseconds(date: datetime.datetime | int) -> int:
    """``date`` in microseconds since the epoch, which an int is already.

    A naive one is in the current time zone; of an hour that comes twice its ``fold`` says which.
    """
    if isinstance(date, int):
        return date
    if timezone.is_naive(date):
        date = timezone.make_aware(date)
    return (date - _EPOCH) // _MICROSECOND


def from_microseconds(instant: int) -> datetime.datetime:
    """The date of an instant: in UTC, or naive local time where ``USE_TZ`` is off.

    Raises ``OverflowError`` for years that no date has.
    """
    date = _EPOCH + datetime.timedelta(microseconds=instant)
    if settings.USE_TZ:
        return date
    return date.astimezone(timezone.get_default_timezone()).replace(tzinfo=None)


if TYPE_CHECKING:
    _Field = models.Field[Any, Any]
else:
    _Field = models.Field


class InstantField(_Field):
    """A date and time as an integer column.

    Takes dates, and integers of microseconds; gives dates.
    """

    description = "Date and time, in microseconds since the epoch"

    def get_internal_type(self) -> str:
        """The column is one of 64-bit integers."""
        return "BigIntegerField"

    def get_prep_value(self, value: Any) -> int | None:
        """What the column holds of ``value``."""
        value = super().get_prep_value(value)
        date = value if isinstance(value, int) else self.to_python(value)
        return None if date is None else microseconds(date)

    def from_db_value(self, value: int | None, *args: Any) -> datetime.datetime | None:
        """The date of what the column holds."""
        return None if value is None else from_microseconds(value)

    def to_python(self, value: Any) -> datetime.datetime | None:
        """The date of ``value``, as serializers have it too. Raises ``ValidationError``."""
        if isinstance(value, int):
            return from_microseconds(value)
        if isinstance(value, str):
            try:
                value = dateparse.parse_datetime(value) or value
            except ValueError as error:
                raise ValidationError(f"{value!r} is no date and time: {error}") from error
        if value is None or isinstance(value, datetime.datetime):
            return value
        raise ValidationError(f"{value!r} is no date and time")

    def value_to_string(self, obj: models.Model) -> str:
        """The text that serializers write."""
        date = self.value_from_object(obj)
        return "" if date is None else date.isoformat()
