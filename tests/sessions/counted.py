"""A session engine of a project's own, which counts what is asked of it in this process."""

from collections import Counter
from typing import Any

from django.contrib.sessions.backends.cache import SessionStore as CacheStore

__all__ = ["SessionStore", "asked"]

#: How often each method was called.
asked: Counter[str] = Counter()


class SessionStore(CacheStore):
    """Sessions in the cache."""

    def load(self) -> dict[str, Any]:
        asked["load"] += 1
        return super().load()

    def save(self, must_create: bool = False) -> None:
        asked["save"] += 1
        super().save(must_create)

    def delete(self, session_key: str | None = None) -> None:
        asked["delete"] += 1
        super().delete(session_key)
