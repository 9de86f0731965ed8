"""What happens on the sockets of a room."""

from collections.abc import Iterable
from typing import Any

from channels.exceptions import DenyConnection
from channels.generic.websockets import JsonWebsocketConsumer
from channels.message import Message
from talk.models import TEXT_LENGTH, Line, Room

#: Lines that a page gets when it comes.
SHOWN = 50


class Chat(JsonWebsocketConsumer):
    """A user in a room. What one says is stored, and shown to all, in the order they said it."""

    http_user = True
    strict_ordering = True

    def connection_groups(self, slug: str, **kwargs: Any) -> Iterable[str]:
        return [f"room.{slug}"]

    def connect(self, message: Message, slug: str, **kwargs: Any) -> None:
        """Let in who may enter, with the last lines."""
        room = self._room(slug)
        if room is None:
            raise DenyConnection(f"{self.message.user} may not enter {slug!r}")
        super().connect(message, **kwargs)
        lines = room.lines.select_related("user").order_by("-pk")[:SHOWN]
        self.send({"lines": [line.for_page() for line in reversed(lines)]})
        self._tell(slug, {"joined": self.message.user.get_username()})

    def receive(self, content: Any, slug: str, **kwargs: Any) -> None:
        """Store a line and show it."""
        text = content.get("text") if isinstance(content, dict) else None
        room = self._room(slug)
        if room is None or not isinstance(text, str) or not text.strip():
            return
        line = Line.objects.create(room=room, user=self.message.user, text=text[:TEXT_LENGTH])
        self._tell(slug, {"line": line.for_page()})

    def disconnect(self, message: Message, slug: str, **kwargs: Any) -> None:
        """Say goodbye, if it was let in."""
        if self._room(slug):
            self._tell(slug, {"left": self.message.user.get_username()})

    def _room(self, slug: str) -> Room | None:
        """The room, if the user may be in it; asked each time, since that may change."""
        return Room.open_to(self.message.user).filter(slug=slug).first()

    def _tell(self, slug: str, event: dict[str, Any]) -> None:
        for group in self.connection_groups(slug=slug):
            self.group_send(group, event)
