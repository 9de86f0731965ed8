"""Blogs and their posts."""

from django.db import models

from channels import Group


class Blog(models.Model):
    """A page with posts."""

    title = models.CharField(max_length=80)
    slug = models.SlugField(unique=True)

    def __str__(self) -> str:
        return self.title

    @property
    def readers(self) -> Group:
        """The sockets of the pages that show it."""
        return Group(f"liveblog.{self.pk}")

    def newest(self) -> list["Post"]:
        """The posts that its page shows, newest first."""
        return list(self.posts.order_by("-pk")[:50])


class Post(models.Model):
    """One entry of a blog."""

    blog = models.ForeignKey(Blog, models.CASCADE, related_name="posts")
    text = models.TextField(max_length=2000)
    posted_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.text

    def for_page(self) -> dict[str, object]:
        """The post as the page takes it."""
        return {"id": self.pk, "text": self.text, "at": self.posted_at.isoformat()}
