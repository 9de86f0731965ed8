"""``Binding``: what ties a model to groups of clients, whatever their protocol.

Outbound, the signals around each save and deletion find out which groups an instance belonged to
and belongs to now: groups that it left get ``delete``, those it joined ``create``, all others
``update``. The groups that it belonged to are asked of an instance as the database has it, not of
the one in memory, which has changed already. What is to be sent leaves when the transaction is
committed. What comes in is in ``channels.binding.inbound``.
"""

import contextlib
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any, ClassVar

from django.apps import apps
from django.conf import settings
from django.db import models, router, transaction
from django.db.models.signals import (
    m2m_changed,
    post_delete,
    post_save,
    pre_delete,
    pre_save,
)

from channels.binding import fields as values
from channels.binding.inbound import CREATE, DELETE, UPDATE, Inbound
from channels.binding.stored import fetch, looked_at, stored
from channels.channel import Group

__all__ = ["CREATE", "DELETE", "UPDATE", "Binding", "BindingMetaclass", "sending_at_once"]

#: How many contexts of ``sending_at_once`` are open.
_at_once: list[None] = []


@contextlib.contextmanager
def sending_at_once() -> Iterator[None]:
    """A context in which nothing waits for a commit, as in tests whose transactions never do."""
    _at_once.append(None)
    try:
        yield
    finally:
        _at_once.pop()


class BindingMetaclass(type):
    """Registers bindings: those that are there when the apps are ready, and later ones at once."""

    binding_classes: ClassVar[list[type["Binding"]]] = []
    register_immediately: ClassVar[bool] = False

    #: Those that were defined while apps were loaded, at the start or by a test's other settings.
    _waiting: ClassVar[list[type["Binding"]]] = []

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        cls: Any = super().__new__(mcs, name, bases, body)
        is_abstract = body.get("model", cls) is None
        if bases and not is_abstract:
            mcs.binding_classes.append(cls)
            if mcs.register_immediately and apps.models_ready:
                cls.register()
            else:
                mcs._waiting.append(cls)
        return cls

    @classmethod
    def register_all(mcs) -> None:
        """Register what was defined so far, and from now on each class as it is defined."""
        mcs.register_immediately = True
        while mcs._waiting:
            mcs._waiting.pop(0).register()


class Binding(Inbound, metaclass=BindingMetaclass):
    """Ties a model to groups. Subclasses say how messages look: ``serialize``, ``deserialize``.

    A subclass whose body has ``model = None`` is abstract. Every other one states ``fields`` or
    ``exclude``, ``group_names`` and ``has_permission``; ``ValueError`` where model or fields are
    missing, or unknown to each other.
    """

    #: The model, a class or ``"app_label.Model"``. Of an abstract one, all its models are bound.
    model: ClassVar[Any] = None

    #: The names of the fields that clients see and write; ``["__all__"]`` for all of them.
    fields: ClassVar[Any] = None

    #: The names of the fields that they do not, where all others are meant.
    exclude: ClassVar[Collection[str] | None] = None

    #: The arguments of the signal that had a message sent.
    signal_kwargs: dict[str, Any] | None = None

    #: The fields of each model that ``group_names`` has looked at, to be fetched together.
    _group_fields: ClassVar[dict[type[models.Model], list[str]]] = {}

    #: What ``_fields_of`` has found for each model, of a class that was registered.
    _bound_fields: ClassVar[dict[type[models.Model], list[Any]]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.instance: Any = None
        #: Whether the message goes to a group that the instance does not belong to any more.
        self.has_left = False

    # Registration

    @classmethod
    def register(cls) -> None:
        """Connect the signals of the model."""
        cls._group_fields, cls._bound_fields = {}, {}
        for model in cls.get_registered_models():
            cls._check(model)
            for signal, receiver, sender in cls._receivers(model):
                signal.connect(receiver, sender=sender, weak=False, dispatch_uid=cls)

    @classmethod
    def unregister(cls) -> None:
        """Disconnect the signals again, as tests do that define bindings."""
        for model in cls.get_registered_models():
            for signal, _, sender in cls._receivers(model):
                signal.disconnect(sender=sender, dispatch_uid=cls)

    @classmethod
    def _receivers(cls, model: type[models.Model]) -> Iterator[tuple[Any, Any, Any]]:
        """Signals, their receivers, and the models for which they are sent."""
        for sender in _senders(model):
            yield pre_save, cls.pre_save_receiver, sender
            yield post_save, cls.post_save_receiver, sender
        for sender in _senders_of_deletions(model):
            yield pre_delete, cls.pre_delete_receiver, sender
            yield post_delete, cls.post_delete_receiver, sender
        for concrete in _senders(model) if model._meta.abstract else [model]:
            for field in cls._fields_of(concrete):
                if field.many_to_many:
                    yield m2m_changed, partial(cls.m2m_receiver, field), field.remote_field.through

    @classmethod
    def get_registered_models(cls) -> list[type[models.Model]]:
        """The models, each as a class; raises ``ValueError`` where there are none."""
        if cls.model is None:
            raise ValueError(
                f"{cls.__name__} has no model: set model to a model class or 'app_label.Model', or "
                "to None in its own body where it is a base for others"
            )
        if isinstance(cls.model, str):
            cls.model = apps.get_model(cls.model)
        return [cls.model]

    @classmethod
    def _check(cls, model: type[models.Model]) -> None:
        if cls.fields is None and cls.exclude is None:
            raise ValueError(
                f"{cls.__name__} has to state which fields of {model._meta.label} clients may see "
                "and write: set fields, to ['__all__'] for all of them, or exclude"
            )
        named = () if cls._has_all() else cls.fields or ()
        values.check_names(model, [*named, *(cls.exclude or ())], cls.__name__)

    @classmethod
    def _has_all(cls) -> bool:
        return cls.fields == "__all__" or list(cls.fields or ()) == ["__all__"]

    @classmethod
    def _fields_of(cls, model: type[models.Model]) -> list[Any]:
        """The fields of ``model`` that clients see and write."""
        known = vars(cls).get("_bound_fields", {})
        if model not in known:
            chosen = None if cls.fields is None or cls._has_all() else cls.fields
            known[model] = values.bound_fields(model, chosen, cls.exclude)
        found: list[Any] = known[model]
        return found

    # Outbound, to be overridden

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        """The message that brings ``payload`` to clients."""
        raise NotImplementedError(f"{cls.__name__} has to define encode(stream, payload)")

    @classmethod
    def group_names(cls, instance: Any) -> Iterable[str]:
        """The names of the groups that ``instance`` belongs to."""
        raise NotImplementedError(f"{cls.__name__} has to define group_names(instance)")

    def serialize(self, instance: Any, action: str) -> dict[str, Any] | None:
        """The message that tells of ``action``, one of CREATE, UPDATE, DELETE; None for none."""
        name = type(self).__name__
        raise NotImplementedError(f"{name} has to define serialize(instance, action)")

    # Outbound

    @classmethod
    def send_messages(
        cls, instance: Any, group_names: Collection[str], action: str, **kwargs: Any
    ) -> None:
        """Tell groups of ``action``; ``kwargs`` are those of the signal.

        The message is made now, and sent once the transaction of ``instance`` is committed.
        """
        if not group_names:
            return
        self = cls()
        self.instance, self.signal_kwargs = instance, kwargs
        self.has_left = action == DELETE and kwargs.get("signal") not in (None, post_delete)
        message = self.serialize(instance, action)
        if message is not None:
            using = kwargs.get("using") or instance._state.db
            _send_at_commit(sorted(group_names), message, using)

    @classmethod
    def pre_save_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Called before a save. One of a fixture's, whose relations may be missing, is left out."""
        if kwargs.get("raw"):
            return
        if cls._grows(instance, kwargs["using"]):
            vars(instance).setdefault("_binding_grown", set()).add(cls)
        cls.pre_change_receiver(instance, CREATE if _is_new(instance) else UPDATE, **kwargs)

    @classmethod
    def post_save_receiver(cls, instance: Any, created: bool, **kwargs: Any) -> None:
        """Called after a save."""
        if kwargs.get("raw"):
            return
        grown = vars(instance).get("_binding_grown", set())
        if cls in grown:
            grown.discard(cls)
            created = False
        if not grown:
            vars(instance).pop("_binding_grown", None)
        cls.post_change_receiver(instance, CREATE if created else UPDATE, **kwargs)

    @classmethod
    def _grows(cls, instance: Any, using: str) -> bool:
        """Whether a new instance becomes the child of a row of the bound model that is there."""
        if not instance._state.adding or instance.pk is None:
            return False
        model = cls._bound_model(instance)
        if type(instance)._meta.concrete_model is model._meta.concrete_model:
            return False
        return bool(model._base_manager.using(using).filter(pk=instance.pk).exists())

    @classmethod
    def pre_delete_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Called before a deletion."""
        cls.pre_change_receiver(instance, DELETE, **kwargs)

    @classmethod
    def post_delete_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Called after a deletion."""
        cls.post_change_receiver(instance, DELETE, **kwargs)

    @classmethod
    def m2m_receiver(
        cls, field: Any, instance: Any, action: str, reverse: bool, pk_set: Any, **kwargs: Any
    ) -> None:
        """Called before and after the relation to many ``field`` is changed, from either side."""
        phase, _, change = action.partition("_")
        if change != "clear" and not pk_set:
            return
        if phase == "pre":
            chosen = {field.name: instance} if change == "clear" else {"pk__in": pk_set}
            changed = cls._changed(field, instance, reverse, chosen, kwargs["using"])
            vars(instance).setdefault("_binding_changed", {})[cls] = changed
        else:
            changed = vars(instance).get("_binding_changed", {}).pop(cls, [])
        receiver = cls.pre_change_receiver if phase == "pre" else cls.post_change_receiver
        for one in changed:
            receiver(one, UPDATE, **kwargs, update_fields=() if one is instance else None)

    @classmethod
    def _changed(
        cls, field: Any, instance: Any, reverse: bool, chosen: dict[str, Any], using: str
    ) -> list[Any]:
        """The bound instances whose relation ``field`` changes with that of ``instance``.

        ``chosen`` is what finds the rows on the other side.
        """
        model = cls.get_registered_models()[0]
        model = field.model if model._meta.abstract else model
        rows = model._base_manager.using(using)
        if reverse:
            return list(rows.filter(**chosen))
        own = [instance] if isinstance(instance, model) else list(rows.filter(pk=instance.pk))
        if not field.remote_field.symmetrical:
            return own
        return [*own, *rows.filter(**chosen).exclude(pk=instance.pk)]

    @classmethod
    def pre_change_receiver(cls, instance: Any, action: str, **kwargs: Any) -> None:
        """Find out the groups that ``instance`` belongs to before it changes."""
        groups: set[str] = set()
        if action != CREATE:
            groups = cls._groups_before(instance, kwargs.get("using") or instance._state.db)
        kept = vars(instance).setdefault("_binding_group_names", {})
        kept.setdefault(cls, []).append(groups)

    @classmethod
    def post_change_receiver(cls, instance: Any, action: str, **kwargs: Any) -> None:
        """Tell the groups that ``instance`` belonged to, and those that it belongs to now."""
        before = cls._kept_groups(instance)
        if action == CREATE:
            before = set()
        after: set[str] = set()
        shown = instance
        if action != DELETE:
            shown = cls._saved(instance, action, **kwargs)
            if before:
                fetch(shown, cls._fields_of(type(shown)))
            after = set(cls.group_names(shown))
            if after:
                fetch(shown, cls._fields_of(type(shown)))
        cls.send_messages(shown, before - after, DELETE, **kwargs)
        cls.send_messages(shown, before & after, UPDATE, **kwargs)
        cls.send_messages(shown, after - before, CREATE, **kwargs)

    @classmethod
    def _kept_groups(cls, instance: Any) -> set[str]:
        """What the receiver before this change kept: the last, since saves may be nested."""
        kept = vars(instance).get("_binding_group_names", {})
        stack = kept.get(cls)
        groups: set[str] = stack.pop() if stack else set()
        if not stack:
            kept.pop(cls, None)
        if not kept:
            vars(instance).pop("_binding_group_names", None)
        return groups

    @classmethod
    def _groups_before(cls, instance: Any, using: str | None) -> set[str]:
        """The groups of ``instance`` as the database has it; none where it has no such row."""
        model = cls._bound_model(instance)
        names = cls._group_fields.get(model, ())
        before = stored(instance, model, using or router.db_for_write(model), names)
        if before is None:
            return set()
        try:
            groups = set(cls.group_names(before))
        except model.DoesNotExist:  # type: ignore[attr-defined]  # of every concrete model
            return set()
        if not names and looked_at(before):
            cls._group_fields[model] = looked_at(before)
        return groups

    @classmethod
    def _saved(cls, instance: Any, action: str, **kwargs: Any) -> Any:
        """``instance`` as it was saved: of some fields only, or with values that are made there."""
        model = cls._bound_model(instance)
        unsaved = _made_by_database(instance, action)
        if (only := kwargs.get("update_fields")) is not None:
            unsaved |= {
                field.attname
                for field in model._meta.concrete_fields
                if not field.primary_key and not {field.name, field.attname} & set(only)
            }
        if not unsaved:
            return instance
        saved = stored(instance, model, kwargs.get("using") or instance._state.db)
        for name in set(looked_at(instance)) - unsaved:
            setattr(saved, name, vars(instance)[name])
        return saved

    @classmethod
    def _bound_model(cls, instance: Any) -> type[models.Model]:
        """The model to ask the database for: that of the binding, unless it is abstract."""
        model = cls.get_registered_models()[0]
        return type(instance) if model._meta.abstract else model


def _send_at_commit(groups: list[str], message: dict[str, Any], using: str | None) -> None:
    def send() -> None:
        for group in groups:
            Group(group).send(message)

    if _at_once or not getattr(settings, "CHANNELS_BINDING_ON_COMMIT", True):
        send()
    else:
        transaction.on_commit(send, using=using, robust=True)


def _is_new(instance: Any) -> bool:
    """Whether a save can only insert; with a primary key it may be made to update a row."""
    return instance._state.adding and (
        instance.pk is None or hasattr(instance.pk, "resolve_expression")
    )


def _senders(model: type[models.Model]) -> list[type[models.Model]]:
    """The models whose saves are saves of ``model``: itself, its proxies and its children."""
    found = [one for one in apps.get_models(include_auto_created=True) if issubclass(one, model)]
    return found if model in found or model._meta.abstract else [model, *found]


def _senders_of_deletions(model: type[models.Model]) -> list[type[models.Model]]:
    """The same for deletions, of which a child tells for each of its parents."""
    senders = _senders(model)
    return [one for one in senders if not any(up in senders for up in _parents(one))]


def _parents(model: type[models.Model]) -> Iterable[type[models.Model]]:
    return [parent for parent in model._meta.parents if not model._meta.proxy]


def _made_by_database(instance: Any, action: str) -> set[str]:
    """The fields whose value the database makes, and that the instance does not have as made."""
    found = vars(instance)
    return {
        field.attname
        for field in instance._meta.concrete_fields
        if hasattr(found.get(field.attname), "resolve_expression")
        or (action != CREATE and field.generated)
    }
