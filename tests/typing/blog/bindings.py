"""What clients are told of posts, and may change."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AnonymousUser, User

from channels.binding.base import CREATE
from channels.binding.fields import Refused
from channels.binding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from tests.typing.blog.models import Post


class PostBinding(WebsocketBinding):
    """Posts, to their rooms."""

    model = Post
    stream = "posts"
    fields = ["title", "room"]

    @classmethod
    def group_names(cls, instance: Post) -> list[str]:
        """The room."""
        return [f"posts-{instance.room}"]

    def has_permission(self, user: User | AnonymousUser, action: str, pk: int | None) -> bool:
        """Staff may change, everybody may write."""
        return action == CREATE or user.is_staff

    def refused(self, error: Refused) -> None:
        """Answer."""
        if self.message is not None:
            self.message.reply_channel.send(self.encode("posts", {"error": str(error)}))


class TitleBinding(WebsocketBindingWithMembers):
    """Titles as they are and in capitals."""

    model = "blog.Post"
    stream = "titles"
    fields = ("title",)
    send_members = ["title.upper"]
    strict_ordering = True

    @classmethod
    def group_names(cls, instance: Post) -> Iterable[str]:
        """One for all."""
        yield "titles"

    def has_permission(self, user: User | AnonymousUser, action: str, pk: int | None) -> bool:
        """Nobody may."""
        return False

    def serialize_data(self, instance: Post) -> dict[str, Any]:
        """With the length."""
        return {**super().serialize_data(instance), "length": len(instance.title)}
