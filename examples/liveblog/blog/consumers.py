"""What happens on the sockets of readers."""

import json

from blog.models import Blog
from channels.exceptions import DenyConnection
from channels.message import Message


def connect_blog(message: Message, slug: str) -> None:
    """Let a reader in, and send the posts as they are now.

    First into the group, then the look at the posts: nothing falls between the two.
    """
    blog = Blog.objects.filter(slug=slug).first()
    if blog is None:
        raise DenyConnection(f"there is no blog {slug!r}")
    blog.readers.add(message.reply_channel)
    posts = [post.for_page() for post in blog.newest()]
    message.reply_channel.send({"accept": True, "text": json.dumps({"posts": posts})})


def disconnect_blog(message: Message, slug: str) -> None:
    """Forget a reader."""
    for blog in Blog.objects.filter(slug=slug):
        blog.readers.discard(message.reply_channel)
