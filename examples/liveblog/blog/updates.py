"""What readers are told: each post that is saved or deleted, by whatever part of the project."""

import json
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from blog.models import Post


@receiver(post_save, sender=Post)
def send_update(instance: Post, **kwargs: Any) -> None:
    """Show a new post, or a post's new text."""
    tell(instance, {"post": instance.for_page()})


@receiver(post_delete, sender=Post)
def send_removal(instance: Post, **kwargs: Any) -> None:
    """Remove a post from the pages."""
    tell(instance, {"gone": instance.pk})


def tell(post: Post, event: dict[str, object]) -> None:
    """Send ``event`` to the readers, once what happened is committed."""
    send = partial(post.blog.readers.send, {"text": json.dumps(event)})
    transaction.on_commit(send)
