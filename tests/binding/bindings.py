"""The bindings of the tests, defined before the apps are ready and after it."""

import threading
from typing import Any

from channels.binding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from channels.generic.websockets import WebsocketDemultiplexer
from tests.binding.models import (
    Club,
    Mark,
    Member,
    Named,
    Notice,
    Place,
    Post,
    Shape,
    Sheet,
    Tagged,
    Ticket,
)


class RoomBinding(WebsocketBinding):
    """The base of bindings whose group is the room of the instance."""

    model = None
    stream = "room"
    fields = ["room"]

    @classmethod
    def group_names(cls, instance: Any) -> list[str]:
        return [f"{cls.__name__}.{instance.room}"] if instance.room else []

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return True


class PostBinding(WebsocketBinding):
    model = "bound.Post"
    stream = "posts"
    fields = ["room", "title", "likes", "written", "price", "parent", "tags", "extra"]

    #: Who may do what; asked and answered in the tests.
    asked: list[Any] = []
    allowed = threading.local()

    @classmethod
    def group_names(cls, instance: Any) -> list[str]:
        return [f"posts.{instance.room}{instance.suffix}"]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        self.asked.append((user, action, pk))
        return getattr(self.allowed, "yes", True)


class NoticeBinding(WebsocketBindingWithMembers):
    model = Notice
    stream = "notices"
    exclude = ["nothing"][:0]
    send_members = ["text.upper", "text", "_meta.label"]

    @classmethod
    def group_names(cls, instance: Any) -> list[str]:
        return ["notices"]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return True


class TicketBinding(RoomBinding):
    model = Ticket


class NamedBinding(RoomBinding):
    model = Named
    fields = "__all__"


class ShapeBinding(RoomBinding):
    model = Shape
    fields = ["__all__"]


class PlaceBinding(RoomBinding):
    model = Place


class MemberBinding(RoomBinding):
    model = Member
    fields = ["room", "friends"]


class MemberNamesBinding(MemberBinding):
    """A second binding of a model."""

    fields = ["friends"]


class TaggedBinding(RoomBinding):
    """Its groups depend on fields that each model has for itself."""

    model = Tagged
    fields = ["__all__"]

    @classmethod
    def group_names(cls, instance: Any) -> list[str]:
        own = instance.color if hasattr(instance, "color") else instance.worth
        return [f"TaggedBinding.{own}"]


class ClubBinding(RoomBinding):
    model = Club
    fields = ["music", "tags"]

    @classmethod
    def group_names(cls, instance: Any) -> list[str]:
        return [f"ClubBinding.{instance.music}"]


class SheetBinding(RoomBinding):
    model = Sheet
    stream = "sheets"
    fields = "__all__"


class MarkBinding(WebsocketBindingWithMembers):
    model = Mark
    stream = "marks"
    fields = "__all__"
    send_members = ["marked.room", "content_type.model"]

    @classmethod
    def group_names(cls, instance: Any) -> list[str]:
        return [f"marks.{instance.marked.room}"] if instance.marked else ["marks"]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return True


class Demultiplexer(WebsocketDemultiplexer):
    consumers = {
        "posts": PostBinding.consumer,
        "notices": NoticeBinding.consumer,
        "sheets": SheetBinding.consumer,
        "marks": MarkBinding.consumer,
    }
    groups = ["notices"]


__all__ = ["Demultiplexer", "NoticeBinding", "PostBinding", "RoomBinding"]
assert Post  # bound by its name
