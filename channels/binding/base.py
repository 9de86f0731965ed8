"""``Binding``: what ties a model to groups of clients, whatever their protocol.

Outbound, the signals around each save and deletion find out which groups an instance belonged to
and belongs to now: groups that it left get ``delete``, those it joined ``create``, all others
``update``. The groups that it belonged to are asked of an instance as the database has it, not of
the one in memory, which has changed already. What is to be sent leaves when the transaction is
committed. Inbound, a message names an action, which is done where ``has_permission`` allows it.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, ClassVar

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DataError, IntegrityError, models, router, transaction
from django.db.models.signals import (
    m2m_changed,
    post_delete,
    post_save,
    pre_delete,
    pre_save,
)

from channels.auth import channel_session, channel_session_user
from channels.binding import fields as values
from channels.binding.fields import Refused
from channels.binding.stored import looked_at, stored
from channels.channel import Group
from channels.message import Message

__all__ = ["CREATE", "DELETE", "UPDATE", "Binding", "BindingMetaclass", "sending_at_once"]

CREATE = "create"
UPDATE = "update"
DELETE = "delete"

logger = logging.getLogger("django.channels")

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


class Binding(metaclass=BindingMetaclass):
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

    #: Whether ``channel_session_user`` is put around the inbound consumer.
    channel_session_user: ClassVar[bool] = True

    #: Whether ``channel_session`` is, without a user.
    channel_session: ClassVar[bool] = False

    #: The arguments of the signal that had a message sent.
    signal_kwargs: dict[str, Any] | None = None

    #: The fields that ``group_names`` has looked at, so that they are fetched together.
    _group_fields: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.instance: Any = None
        #: Whether the message goes to a group that the instance does not belong to any more.
        self.has_left = False
        #: Of an inbound message, what it is, what came with it, and whose it is.
        self.message: Message | None = None
        self.kwargs: dict[str, Any] = {}
        self.user: Any = None

    # Registration

    @classmethod
    def register(cls) -> None:
        """Connect the signals of the model."""
        cls._group_fields = []
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
        for field in cls._fields_of(model):
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
        named = [*(cls.fields or ()), *(cls.exclude or ())] if not cls._has_all() else []
        values.check_names(model, named, cls.__name__)

    @classmethod
    def _has_all(cls) -> bool:
        return cls.fields == "__all__" or list(cls.fields or ()) == ["__all__"]

    @classmethod
    def _fields_of(cls, model: type[models.Model]) -> list[Any]:
        """The fields of ``model`` that clients see and write."""
        chosen = None if cls.fields is None or cls._has_all() else cls.fields
        return values.bound_fields(model, chosen, cls.exclude)

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
            _send_at_commit(sorted(group_names), message, kwargs.get("using"))

    @classmethod
    def pre_save_receiver(cls, instance: Any, **kwargs: Any) -> None:
        """Called before a save. One of a fixture's, whose relations may be missing, is left out."""
        if not kwargs.get("raw"):
            cls.pre_change_receiver(instance, CREATE if _is_new(instance) else UPDATE, **kwargs)

    @classmethod
    def post_save_receiver(cls, instance: Any, created: bool, **kwargs: Any) -> None:
        """Called after a save."""
        if not kwargs.get("raw"):
            cls.post_change_receiver(instance, CREATE if created else UPDATE, **kwargs)

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
        if not reverse:
            changed = [instance]
        elif phase == "pre":
            chosen = {field.name: instance} if change == "clear" else {"pk__in": pk_set}
            changed = list(field.model._base_manager.using(kwargs["using"]).filter(**chosen))
            vars(instance)["_binding_changed"] = changed
        else:
            changed = vars(instance).pop("_binding_changed", [])
        receiver = cls.pre_change_receiver if phase == "pre" else cls.post_change_receiver
        for one in changed:
            receiver(one, UPDATE, **kwargs)

    @classmethod
    def pre_change_receiver(cls, instance: Any, action: str, **kwargs: Any) -> None:
        """Find out the groups that ``instance`` belongs to before it changes."""
        groups: set[str] = set()
        if action != CREATE:
            groups = cls._groups_before(instance, kwargs.get("using") or instance._state.db)
        vars(instance).setdefault("_binding_group_names", {})[cls] = groups

    @classmethod
    def post_change_receiver(cls, instance: Any, action: str, **kwargs: Any) -> None:
        """Tell the groups that ``instance`` belonged to, and those that it belongs to now."""
        before = vars(instance).get("_binding_group_names", {}).pop(cls, set())
        if action == CREATE:
            before = set()
        after: set[str] = set()
        shown = instance
        if action != DELETE:
            saved = cls._saved(instance, **kwargs)
            after = set(cls.group_names(saved))
            shown = saved if _expressions(instance) else instance
        cls.send_messages(shown, before - after, DELETE, **kwargs)
        cls.send_messages(shown, before & after, UPDATE, **kwargs)
        cls.send_messages(shown, after - before, CREATE, **kwargs)

    @classmethod
    def _groups_before(cls, instance: Any, using: str | None) -> set[str]:
        """The groups of ``instance`` as the database has it; none where it has no such row."""
        model = cls._bound_model(instance)
        before = stored(instance, model, using or router.db_for_write(model), cls._group_fields)
        if before is None:
            return set()
        try:
            groups = set(cls.group_names(before))
        except model.DoesNotExist:  # type: ignore[attr-defined]  # of every concrete model
            return set()
        if not cls._group_fields and looked_at(before):
            cls._group_fields = looked_at(before)
        return groups

    @classmethod
    def _saved(cls, instance: Any, **kwargs: Any) -> Any:
        """``instance`` as it was saved: of some fields only, or by an expression."""
        model = cls._bound_model(instance)
        unsaved = _expressions(instance)
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

    # Inbound

    @classmethod
    def get_handler(cls) -> Callable[..., Any]:
        """The inbound consumer, in its decorators; to be overridden to add others."""
        if cls.channel_session_user:
            return channel_session_user(cls.trigger_inbound)
        if cls.channel_session:
            return channel_session(cls.trigger_inbound)
        return cls.trigger_inbound

    @classmethod
    def consumer(cls, message: Message, **kwargs: Any) -> None:
        """The inbound consumer, for routings and demultiplexers."""
        cls.get_handler()(message, **kwargs)

    @classmethod
    def trigger_inbound(cls, message: Message, **kwargs: Any) -> None:
        """Do what ``message`` asks for, if its user may.

        What is refused changes nothing, and is handed to ``refused``.
        """
        self = cls()
        self.message, self.kwargs = message, kwargs
        self.user = getattr(message, "user", None)
        try:
            action, pk, data = self.deserialize(message)
            if not self.has_permission(self.user, action, pk):
                raise Refused(f"{self.user} has no permission to {action!r:.20} {pk!r:.100}")
            self.run_action(action, pk, data)
        except Refused as error:
            self.refused(error)

    def refused(self, error: Refused) -> None:
        """Called for a change that a client asked for and does not get; logs one line."""
        logger.warning("%s refused a change: %s", type(self).__name__, error)

    def deserialize(self, message: Message) -> tuple[str, Any, dict[str, Any]]:
        """Action, primary key and data by field that ``message`` asks for."""
        raise NotImplementedError(f"{type(self).__name__} has to define deserialize(message)")

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        """Whether ``user`` may do ``action`` to the row ``pk``, None for CREATE."""
        raise NotImplementedError(
            f"{type(self).__name__} has to define has_permission(user, action, pk)"
        )

    def run_action(self, action: str, pk: Any, data: dict[str, Any]) -> None:
        """Do it; raises ``Refused`` for what cannot be done."""
        try:
            with transaction.atomic(using=router.db_for_write(self.model)):
                if action == CREATE:
                    self.create(data)
                elif action == UPDATE:
                    self.update(pk, data)
                elif action == DELETE:
                    self.delete(pk)
                else:
                    raise Refused(f"there is no action {action!r:.100}")
        except (IntegrityError, DataError) as error:
            raise Refused(f"the database does not take it: {error}") from error

    def create(self, data: dict[str, Any]) -> None:
        """Save a new instance with ``data``, of which only bound fields count."""
        self._save(self.model(), data)

    def update(self, pk: Any, data: dict[str, Any]) -> None:
        """Change the row ``pk`` by ``data``, of which only bound fields count."""
        self._save(self.row(pk), data)

    def delete(self, pk: Any) -> None:
        """Delete the row ``pk``."""
        self.row(pk).delete()

    def row(self, pk: Any) -> Any:
        """The row ``pk``, locked until it is written; raises ``Refused`` where there is none."""
        rows = self.model._default_manager.using(router.db_for_write(self.model))
        try:
            return rows.select_for_update().get(pk=pk)
        except (
            *(ObjectDoesNotExist, ValidationError),
            *(TypeError, ValueError, OverflowError),  # of values that are no primary key at all
        ) as error:
            raise Refused(f"there is no row {pk!r:.100}") from error

    def _save(self, instance: Any, data: dict[str, Any]) -> None:
        relations = values.clean(instance, self._fields_of(self.model), data)
        instance.save()
        values.write_relations(instance, relations)


def _send_at_commit(groups: list[str], message: dict[str, Any], using: str | None) -> None:
    def send() -> None:
        for group in groups:
            Group(group).send(message)

    if _at_once or not getattr(settings, "CHANNELS_BINDING_ON_COMMIT", True):
        send()
    else:
        transaction.on_commit(send, using=using, robust=True)


def _is_new(instance: Any) -> bool:
    """Whether a save can only insert: there is no primary key, or one that was just made."""
    if not instance._state.adding:
        return False
    primary = instance._meta.pk
    return instance.pk is None or primary.has_default() or primary.has_db_default()


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


def _expressions(instance: Any) -> set[str]:
    """The fields whose value the database makes, by an expression that the instance still has."""
    return {name for name, value in vars(instance).items() if hasattr(value, "resolve_expression")}
