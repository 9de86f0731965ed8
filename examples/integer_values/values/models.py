"""The model."""

from django.db import models


class IntegerValue(models.Model):
    """A number with a name."""

    name = models.CharField(max_length=100, unique=True)
    value = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"
