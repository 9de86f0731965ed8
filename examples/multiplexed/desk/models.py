"""What is to be done, and who looks on."""

from django.db import models


class Task(models.Model):
    """A line of the list."""

    title = models.CharField(max_length=200)
    is_done = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.title


class Visitor(models.Model):
    """An open page. The row of one whose server was killed stays."""

    reply_channel = models.CharField(max_length=200, unique=True)

    def __str__(self) -> str:
        return self.reply_channel
