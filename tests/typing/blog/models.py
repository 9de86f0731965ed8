"""What the blog keeps."""

from django.conf import settings
from django.db import models


class Post(models.Model):
    """A post of a room."""

    room = models.CharField(max_length=20)
    title = models.CharField(max_length=20)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)
