"""Rooms, and what was said in them."""

from typing import Any

from django.conf import settings
from django.db import models

#: Characters of a line, at most.
TEXT_LENGTH = 2000


class Room(models.Model):
    """A place to talk, perhaps for staff only."""

    title = models.CharField(max_length=80)
    slug = models.SlugField(unique=True)
    staff_only = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.title

    @classmethod
    def open_to(cls, user: Any) -> "models.QuerySet[Room]":
        """The rooms that ``user`` may enter: none without an account."""
        if not user.is_authenticated:
            return cls.objects.none()
        return cls.objects.all() if user.is_staff else cls.objects.filter(staff_only=False)


class Line(models.Model):
    """Something that a user said."""

    room = models.ForeignKey(Room, models.CASCADE, related_name="lines")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    text = models.TextField(max_length=TEXT_LENGTH)
    said_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.text

    def for_page(self) -> dict[str, object]:
        """The line as the page takes it."""
        return {"id": self.pk, "by": self.user.get_username(), "text": self.text}
