"""Bindings over WebSockets: frames of JSON on a stream of a demultiplexer.

A payload is an object with ``action``, ``pk``, ``data``, the fields by name, and ``model``, its
label; what clients send needs no ``model``. See ``channels.generic.websockets``.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.core.exceptions import ObjectDoesNotExist
from django.core.serializers.json import DjangoJSONEncoder

from channels import sessions
from channels.binding import fields as values
from channels.binding.base import CREATE, DELETE, UPDATE, Binding
from channels.binding.fields import Refused
from channels.generic.base import decorated
from channels.generic.websockets import WebsocketDemultiplexer
from channels.message import Message

__all__ = ["WebsocketBinding", "WebsocketBindingWithMembers"]


class WebsocketBinding(Binding):
    """A binding whose messages are frames on ``stream``.

    Its ``consumer`` belongs into the ``consumers`` of a ``WebsocketDemultiplexer``, whose
    ``connection_groups`` are those that ``group_names`` gives.
    """

    model: ClassVar[Any] = None

    #: The name of the stream.
    stream: ClassVar[str | None] = None

    #: Whether the messages of a socket are handled in their order; see ``enforce_ordering``.
    strict_ordering: ClassVar[bool] = False

    #: Gone; ``ValueError`` where it is set.
    slight_ordering: ClassVar[bool] = False

    # Outbound

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        return WebsocketDemultiplexer.encode(stream, payload)

    def serialize(self, instance: Any, action: str) -> dict[str, Any] | None:
        if self.stream is None:
            raise ValueError(
                f"{type(self).__name__} has no stream: set stream to the name under which a "
                "demultiplexer has its consumer"
            )
        model = self.get_registered_models()[0]
        payload = {
            "action": action,
            "pk": instance.pk,
            # those whose group an instance has left may not see what it has become
            "data": {} if self.has_left else self.serialize_data(instance),
            "model": (type(instance) if model._meta.abstract else model)._meta.label_lower,
        }
        return self.encode(self.stream, payload)

    def serialize_data(self, instance: Any) -> dict[str, Any]:
        """The values of the bound fields by name."""
        return values.outgoing(instance, self._fields_of(self._bound_model(instance)))

    # Inbound

    @classmethod
    def get_handler(cls) -> Callable[..., Any]:
        handler = super().get_handler()
        if cls.slight_ordering:
            raise ValueError(f"{cls.__name__}.slight_ordering is gone; use strict_ordering")
        if cls.strict_ordering:
            return decorated(sessions.enforce_ordering, handler)
        return handler

    @classmethod
    def consumer(cls, message: Message, **kwargs: Any) -> None:
        """The inbound consumer: of connects and disconnects there is nothing to do."""
        if message.channel is None or message.channel.name in _NO_FRAMES:
            return
        super().consumer(message, **kwargs)

    def deserialize(self, message: Message) -> tuple[str, Any, dict[str, Any]]:
        """Action, primary key and data of a payload; raises ``Refused`` for any other text."""
        try:
            content = WebsocketDemultiplexer.decode_json(message["text"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise Refused("the frame is no JSON") from error
        if not isinstance(content, dict):
            raise Refused("the payload is no object")
        action, pk = content.get("action"), content.get("pk")
        data = content.get("data")
        if action not in (CREATE, UPDATE, DELETE):
            raise Refused(f"there is no action {action!r:.100}")
        if action != CREATE and (pk is None or isinstance(pk, dict | list)):
            raise Refused(f"{action} needs the primary key of a row, not {pk!r:.100}")
        if action != DELETE and not isinstance(data, dict):
            raise Refused(f"{action} needs data, an object of values by field")
        return action, pk, data or {}


class WebsocketBindingWithMembers(WebsocketBinding):
    """Sends members of the instance beside its fields.

    The names in ``send_members`` may be dotted, to look into other objects; in the data the dots
    are ``__``. What can be called is called, and what lies behind a relation to nothing is None. A
    field wins over a member of the same name.
    """

    model: ClassVar[Any] = None

    send_members: ClassVar[Sequence[str]] = ()

    encoder: ClassVar[json.JSONEncoder] = DjangoJSONEncoder()

    def serialize_data(self, instance: Any) -> dict[str, Any]:
        members = {
            name.replace(".", "__"): _member(instance, name.split("."))
            for name in self.send_members
        }
        return {**json.loads(self.encoder.encode(members)), **super().serialize_data(instance)}


#: Messages of a socket that bring no frame.
_NO_FRAMES = {"websocket.connect", "websocket.disconnect"}


def _member(instance: Any, path: Sequence[str]) -> Any:
    """What a path leads to; None where it leads through a relation to nothing."""
    for name in path:
        if instance is None:
            return None
        try:
            instance = getattr(instance, name)
        except ObjectDoesNotExist:  # the other side of a relation of one to one
            return None
    return instance() if callable(instance) else instance
