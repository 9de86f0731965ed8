"""An instance as the database has it, for what has to be known of it before or beside its save.

Nothing is fetched until it is looked at: the instance begins with its primary key alone, and every
other field is a deferred one. So whatever looks at no field costs no query.
"""

import weakref
from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from typing import Any

from django.db import models

__all__ = ["fetch", "looked_at", "stored"]

#: What of an instance's dict is no attribute that a program has set.
_OWN = {
    "_state",
    "_prefetched_objects_cache",
    "_binding_group_names",
    "_binding_changed",
    "_binding_grown",
    "refresh_from_db",
}


def stored(
    instance: models.Model,
    model: type[models.Model],
    using: str,
    names: Collection[str] = (),
) -> models.Model | None:
    """``instance`` as the row of ``model`` says, with the fields ``names`` in one query.

    None where these are asked for and there is no row; else a row that is missing shows where a
    further field is looked at, by ``model.DoesNotExist``. Attributes that are no fields are those
    of ``instance``.
    """
    primary = model._meta.pk
    assert primary is not None
    fetched: dict[str, Any] = {primary.attname: instance.pk}
    if names:
        rows = model._base_manager.using(using).filter(pk=instance.pk)
        row = rows.values_list(*names).first()
        if row is None:
            return None
        fetched |= zip(names, row, strict=True)
    fields = [field.attname for field in model._meta.concrete_fields if field.attname in fetched]
    found = model.from_db(using, fields, [fetched[name] for name in fields])
    vars(found).update(_attributes(instance), refresh_from_db=_refreshing(found, using))
    return found


def looked_at(instance: models.Model) -> list[str]:
    """The fields, but the primary key, that an instance of ``stored`` has by now."""
    deferred = instance.get_deferred_fields()
    return [
        field.attname
        for field in instance._meta.concrete_fields
        if field.attname not in deferred and not field.primary_key
    ]


def fetch(instance: models.Model, fields: Iterable[Any]) -> None:
    """Fetch those of ``fields`` that ``instance`` lacks, in one query."""
    names = {field.attname for field in fields} & instance.get_deferred_fields()
    if names:
        instance.refresh_from_db(fields=sorted(names), using=instance._state.db)


def _refreshing(instance: models.Model, using: str) -> Callable[..., None]:
    """``refresh_from_db``, by which deferred fields are fetched as well, from the database that is
    written: a router may have others read from one that is behind."""
    reference = weakref.ref(instance)

    def refresh_from_db(**kwargs: Any) -> None:
        refreshed = reference()
        assert refreshed is not None
        type(refreshed).refresh_from_db(refreshed, **{"using": using, **kwargs})

    return refresh_from_db


def _attributes(instance: models.Model) -> dict[str, Any]:
    """What was set on ``instance`` beside its fields."""
    kind = type(instance)
    names = {field.attname for field in instance._meta.concrete_fields} | _OWN
    return {
        name: value
        for name, value in vars(instance).items()
        if name not in names and not isinstance(getattr(kind, name, None), cached_property)
    }
