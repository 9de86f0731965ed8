"""The fields of a model that a binding names: their values on the way out, and on the way in.

On the way out a value is what Django's serializers write; on the way in it is cleaned as a form
would, so that nothing is stored that the field does not take.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.forms.utils import from_current_timezone
from django.utils.encoding import is_protected_type
from django.utils.timezone import is_aware, make_naive

__all__ = [
    "Refused",
    "bound_fields",
    "check_names",
    "clean",
    "one_line",
    "outgoing",
    "write_relations",
]

#: A field of a model, or a relation to many.
Field = Any


class Refused(ValueError):
    """A change that a client asks for and does not get; the message says why."""


def bound_fields(
    model: type[models.Model], fields: Collection[str] | None, exclude: Collection[str] | None
) -> list[Field]:
    """The fields that a binding names, without the primary key, in the order of the model.

    ``fields`` is None where all but ``exclude`` are meant; what is excluded is never among them.
    """
    return [
        field
        for field in _every(model)
        if not field.primary_key
        and (fields is None or _names(field) & set(fields))
        and not _names(field) & set(exclude or ())
    ]


def check_names(model: type[models.Model], names: Iterable[str], owner: str) -> None:
    """Raise ``ValueError`` for names that are no fields of ``model``, as those of others' are."""
    known = {name for field in _every(model) for name in _names(field)}
    for name in names:
        if name not in known:
            raise ValueError(
                f"{owner} names the field {name!r}, which {model._meta.label} does not have; it "
                f"has {sorted(known)!r}"
            )


def _every(model: type[models.Model]) -> list[Field]:
    return [*model._meta.concrete_fields, *model._meta.many_to_many]


def _names(field: Field) -> set[str]:
    """The names of a field: a relation has that of its column as well."""
    return {field.name, field.attname}


def outgoing(instance: models.Model, fields: Iterable[Field]) -> dict[str, Any]:
    """The values of ``fields`` by name: of relations the primary keys."""
    return {field.name: _outgoing(instance, field) for field in fields}


def _outgoing(instance: models.Model, field: Field) -> Any:
    if field.many_to_many:
        related = getattr(instance, field.name).using(instance._state.db)
        keys = list(related.values_list("pk", flat=True))
        if field.remote_field.symmetrical:  # whose other side is written after the signal
            others = field.model._base_manager.using(related.db).filter(**{field.name: instance})
            keys = sorted({*keys, *others.values_list("pk", flat=True)})
        return keys
    value = field.value_from_object(instance)
    return value if is_protected_type(value) else field.value_to_string(instance)


def clean(
    instance: models.Model, fields: Collection[Field], data: dict[str, Any], using: str
) -> list[tuple[Field, list[Any]]]:
    """Set the values of ``data`` on ``instance``; what it has for relations to many is returned.

    ``using`` is the database that it will be saved in.
    Only ``fields`` that can be written are looked at, other fields of the model are ignored. Raises
    ``Refused`` for a name that is no field and a value that a field does not take; then nothing was
    set.
    """
    values = {}
    relations = []
    for field, value in _named(instance, fields, data):
        try:
            if field.many_to_many:
                relations.append((field, _related(field, value, using)))
            else:
                values[field.attname] = _cleaned(instance, field, value)
        except (ValidationError, TypeError, ValueError, OverflowError) as error:
            raise Refused(f"the value of {field.name!r} is not valid: {_text(error)}") from error
    for name, value in values.items():
        setattr(instance, name, value)
    return relations


def write_relations(instance: models.Model, relations: Iterable[tuple[Field, list[Any]]]) -> None:
    """Set relations to many, once ``instance`` has a row."""
    for field, keys in relations:
        getattr(instance, field.name).set(keys)


def _named(
    instance: models.Model, fields: Collection[Field], data: dict[str, Any]
) -> Iterator[tuple[Field, Any]]:
    for name, value in data.items():
        try:
            field = instance._meta.get_field(name)
        except FieldDoesNotExist as error:
            raise Refused(f"there is no field {name!r:.100}") from error
        if field in fields and _is_written(field):
            yield field, value


def _is_written(field: Field) -> bool:
    """Whether clients may write it: not what no form has, nor by its name a file."""
    return bool(field.editable) and not isinstance(field, models.FileField)


def _cleaned(instance: models.Model, field: Field, value: Any) -> Any:
    """``value`` as ``field`` stores it: what JSON may hold is not what every field expects."""
    if value is None and field.null:
        return None
    if isinstance(value, dict | list) and field.get_internal_type() not in _STRUCTURED:
        raise ValueError("it is an object or a list")
    if isinstance(value, str):
        value.encode()  # raises ValueError for half a surrogate pair
        if "\0" in value:  # which PostgreSQL cannot store
            raise ValueError("it holds a NUL")
    cleaned = field.clean(value, instance)
    if isinstance(cleaned, float) and not math.isfinite(cleaned):  # which JSON cannot hold
        raise ValueError("it is no number")
    return _time(cleaned) if isinstance(cleaned, datetime) else cleaned


def _time(value: datetime) -> datetime:
    """``value`` as ``USE_TZ`` has times; raises ``OverflowError`` for one without year elsewhere.

    PostgreSQL stores such a time, and nobody can read its row again.
    """
    value = from_current_timezone(value)
    value.astimezone(UTC)
    if is_aware(value) and not settings.USE_TZ:  # which no database takes then
        return make_naive(value)
    return value


#: Types of fields whose values are objects or lists.
_STRUCTURED = {"JSONField", "ArrayField", "HStoreField"}


#: Rows that a client may relate another one to in one message: no database refuses so many values
#: in a query, and none takes long for them.
_MOST_RELATED = 900


def _related(field: Field, value: Any, using: str) -> list[Any]:
    """The primary keys of rows that are all there, in the database ``using``."""
    if not isinstance(value, list):
        raise ValueError("it is no list of primary keys")
    if len(value) > _MOST_RELATED:
        raise ValueError(f"it names more than {_MOST_RELATED} rows")
    related = field.remote_field.model
    keys = {related._meta.pk.to_python(key) for key in value}
    rows = related._base_manager.using(using).complex_filter(field.get_limit_choices_to())
    if rows.only("pk").in_bulk(keys).keys() != keys:
        raise ValueError("it names rows that are not there")
    return list(keys)


def _text(error: Exception) -> str:
    return "; ".join(error.messages) if isinstance(error, ValidationError) else str(error)


def one_line(error: Exception) -> str:
    """What an error says, for the log: it may hold anything that a client has sent."""
    return "".join(each if each.isprintable() else " " for each in str(error)[:300])
