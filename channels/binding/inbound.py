"""What clients may change: a message names an action, done where ``has_permission`` allows it."""

import logging
from collections.abc import Callable
from typing import Any, ClassVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DataError, IntegrityError, router, transaction

from channels.auth import channel_session, channel_session_user
from channels.binding import fields as values
from channels.binding.fields import Refused
from channels.generic.base import decorated
from channels.message import Message

__all__ = ["CREATE", "DELETE", "UPDATE", "Inbound"]

CREATE = "create"
UPDATE = "update"
DELETE = "delete"

logger = logging.getLogger("django.channels")


class Inbound:
    """The half of a ``Binding`` that takes messages; an instance lives for one of them."""

    model: ClassVar[Any] = None

    #: Whether ``channel_session_user`` is put around the inbound consumer.
    channel_session_user: ClassVar[bool] = True

    #: Whether ``channel_session`` is, without a user.
    channel_session: ClassVar[bool] = False

    def __init__(self) -> None:
        #: The message, what came with it, and whose it is.
        self.message: Message | None = None
        self.kwargs: dict[str, Any] = {}
        self.user: Any = None

    @classmethod
    def _fields_of(cls, model: Any) -> list[Any]:
        """The fields of ``model`` that clients see and write."""
        raise NotImplementedError

    @classmethod
    def get_handler(cls) -> Callable[..., Any]:
        """The inbound consumer, in its decorators; to be overridden to add others."""
        if cls.channel_session_user:
            return decorated(channel_session_user, cls.trigger_inbound)
        if cls.channel_session:
            return decorated(channel_session, cls.trigger_inbound)
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
            action, sent_pk, data = self.deserialize(message)
            pk = self._key(action, sent_pk)
            if not self.has_permission(self.user, action, pk):
                raise Refused(f"{self.user} has no permission to {action!r:.20} {pk!r:.100}")
            self.run_action(action, pk, data)
        except Refused as error:
            self.refused(error)

    def _key(self, action: str, pk: Any) -> Any:
        """The primary key of a row as its field has it, so that each row has one; raises Refused.

        None for CREATE: clients choose no primary keys.
        """
        primary = self.model._meta.pk
        if action == CREATE:
            return None
        if primary is None:
            raise Refused("there are no rows of an abstract model")
        try:
            return primary.to_python(pk)
        except (ValidationError, TypeError, ValueError, OverflowError) as error:
            raise Refused(f"there is no row {pk!r:.100}") from error

    def refused(self, error: Refused) -> None:
        """Called for a change that a client asked for and does not get; logs one line."""
        logger.warning("%s refused a change: %s", type(self).__name__, values.one_line(error))

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
            with transaction.atomic(using=self._database):
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
        if self.model._meta.abstract:
            raise Refused("there are no rows of an abstract model")
        self._save(self.model(), data)

    def update(self, pk: Any, data: dict[str, Any]) -> None:
        """Change the row ``pk`` by ``data``, of which only bound fields count."""
        self._save(self.row(pk), data)

    def delete(self, pk: Any) -> None:
        """Delete the row ``pk``."""
        self.row(pk).delete()

    def row(self, pk: Any) -> Any:
        """The row ``pk``, locked until it is written; raises ``Refused`` where there is none."""
        rows = self.model._default_manager.using(self._database)
        try:
            return rows.select_related(None).select_for_update().get(pk=pk)
        except (
            *(ObjectDoesNotExist, ValidationError),
            *(TypeError, ValueError, OverflowError),  # of values that are no primary key at all
        ) as error:
            raise Refused(f"there is no row {pk!r:.100}") from error

    def _save(self, instance: Any, data: dict[str, Any]) -> None:
        fields = self._fields_of(self.model)
        relations = values.clean(instance, fields, data, self._database)
        instance.save(using=self._database)
        values.write_relations(instance, relations)

    @property
    def _database(self) -> str:
        """The alias of the database in which all that a message asks for is done."""
        alias: str = router.db_for_write(self.model)
        return alias
