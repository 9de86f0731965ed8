"""What was said, and who is here."""

from django.db import models

#: Characters of a name, of a room's name and of a message, at most.
NAME_LENGTH = 40
ROOM_LENGTH = 50
TEXT_LENGTH = 2000


class ChatMessage(models.Model):
    """One line that somebody said in a room."""

    room = models.SlugField(max_length=ROOM_LENGTH)
    name = models.CharField(max_length=NAME_LENGTH)
    text = models.TextField(max_length=TEXT_LENGTH)
    said_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["room", "id"])]

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"

    @classmethod
    def latest(cls, room: str, count: int, after: int = 0) -> list["ChatMessage"]:
        """The last ``count`` messages of a room whose ids are over ``after``, oldest first."""
        return list(cls.objects.filter(room=room, id__gt=after).order_by("-id")[:count])[::-1]

    def as_event(self) -> dict[str, object]:
        """The message as the page takes it."""
        return {"kind": "message", "id": self.pk, "name": self.name, "text": self.text}


class Participant(models.Model):
    """Who stands behind an open socket.

    The row of a socket whose server was killed stays; no socket will ever have its name again.
    """

    reply_channel = models.CharField(max_length=200, unique=True)
    room = models.SlugField(max_length=ROOM_LENGTH)
    name = models.CharField(max_length=NAME_LENGTH)

    def __str__(self) -> str:
        return f"{self.name} in {self.room}"
