"""The session objects: one for each channel, and the ones that browsers have.

Both are made by the project's own session engines, which keep their storage, format and settings.
What differs is in two classes here that stand before the engine's: the key of a channel session is
fixed and its row is only there while it holds something; the session of a browser, whose cookie no
consumer can change, is never created and never gets another key. Which session a message has, and
when it is saved, is in ``channels.sessions.scope``.
"""

import functools
import logging
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils.crypto import salted_hmac

__all__ = [
    "BrowserSession",
    "ChannelSession",
    "channel_session_engine",
    "channel_session_key",
    "session_for_key",
    "session_for_reply_channel",
]

logger = logging.getLogger("django.channels")

#: What the keys of channel sessions begin with, so that they are told from those of browsers.
PREFIX = "chn"

#: Characters of a key: the most that Django's session table takes.
_KEY_LENGTH = 40

#: Seconds that a channel session lives without being saved, at least: the time for which an
#: interface server keeps a socket open, and a layer a group membership, by default.
_SOCKET_AGE = 86400

#: The engine that keeps sessions in the browser.
_IN_COOKIES = "django.contrib.sessions.backends.signed_cookies"


class ChannelSession(SessionBase):
    """The session of one reply channel; an engine's ``SessionStore`` stands behind it.

    Without a row it is empty, and with nothing in it it has no row: ``save`` creates, updates or
    deletes as needed. The engine reads it when it is first looked at.
    """

    #: Whether a row was there when it was last read or written; None while nobody knows.
    stored: bool | None = None

    #: Whether a ``save`` has created the row.
    created = False

    # What the engines have read, or been given.
    _session_cache: dict[str, Any]

    def __init__(self, session_key: str) -> None:
        #: The key; ``session_key`` is the same, but while the engine reads.
        self.own_key = session_key
        super().__init__(session_key)

    def load(self) -> dict[str, Any]:
        """What is stored, for the engine's own use; sets ``stored``."""
        data: dict[str, Any] = super().load()
        # Engines take away the key where they find nothing.
        self.stored = self._session_key is not None
        self._session_key = self.own_key
        return data

    def reload(self) -> None:
        """Read it anew, and forget what was changed."""
        self._session_cache = self.load()
        self.modified = False

    def save(self, must_create: bool = False) -> None:
        """Store what it holds, or remove the row where that is nothing.

        A row that was there and has gone was deleted with its socket, or has expired: nothing is
        stored then. Where another worker has created the row in the meantime, both contents are put
        together, and this one's wins.
        """
        is_empty = self.is_empty()
        self.modified = False
        if is_empty:
            if self.stored is not False:
                self.delete()
        elif self.stored:
            self._update()
        else:
            self._create()

    def _update(self) -> None:
        try:
            super().save()
            self.stored = True
        except UpdateError:
            self.stored = False
            logger.debug("A channel session has gone; what a late message put in it is dropped")

    def _create(self) -> None:
        try:
            super().save(must_create=True)
        except CreateError:
            self._session_cache = {**self.load(), **self._session_cache}
            self._update()
        else:
            self.stored = self.created = True

    def delete(self, session_key: str | None = None) -> None:
        """Remove the row, its own unless another key is given."""
        super().delete(session_key or self.own_key)
        if session_key in (None, self.own_key):
            self.stored = self.created = False

    def flush(self) -> None:
        """Remove the row and all that it held; the key stays, since it belongs to the channel."""
        self.clear()
        self.delete()

    def cycle_key(self) -> None:
        """Do nothing: the key belongs to the channel, and no client knows it."""

    def create(self) -> None:
        """Do nothing but have the engine know that it found no row; ``save`` creates one."""
        self._session_key = None

    def is_empty(self) -> bool:
        """Whether it holds nothing."""
        return not self.keys()

    def is_new(self) -> bool:
        """Whether there is no row, as far as is known; reads it where nothing is."""
        if self.stored is None:
            self.keys()
        return self.stored is False

    def get_session_cookie_age(self) -> int:
        """Seconds after which an unsaved session expires, as one does whose worker has crashed."""
        return max(int(settings.SESSION_COOKIE_AGE), _SOCKET_AGE)


class BrowserSession(SessionBase):
    """The session that a browser, or a ``session_key`` parameter, names.

    It may be changed, but not be created, and its key stays: no consumer can set a cookie.
    """

    def create(self) -> None:
        """Give up the key, which says that there is no such session."""
        self._session_key = None

    def cycle_key(self) -> None:
        """Do nothing: the browser would not hear of another key."""

    def is_there(self) -> bool:
        """Whether it exists; reads it."""
        self.keys()
        return self.session_key is not None

    def save(self, must_create: bool = False) -> None:
        """Store what it holds, unless it has gone in the meantime, as by a logout."""
        self.modified = False
        if self.session_key is None:
            return
        try:
            super().save()
        except UpdateError:
            logger.debug("The session of a browser has gone; what a consumer put in it is dropped")


class _DeletesInOneQuery(DatabaseStore):
    """A database engine that does not fetch a row in order to delete it.

    It stands behind the engine's own class, which may have a cache to clear.
    """

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            self.model.objects.filter(session_key=key).delete()


def session_for_reply_channel(reply_channel: str) -> ChannelSession:
    """The session that belongs to a reply channel, as ``message.channel_session`` is it.

    Raises what ``channel_session_engine`` raises.
    """
    store = _store(channel_session_engine(), ChannelSession)
    session: ChannelSession = store(channel_session_key(reply_channel))
    return session


def channel_session_engine() -> str:
    """The engine of channel sessions: ``CHANNEL_SESSION_ENGINE``, else ``SESSION_ENGINE``.

    Raises ``ValueError`` for ``signed_cookies``.
    """
    engine: str = settings.SESSION_ENGINE  # which loads the settings
    # Not by ``settings``: to find that one is missing takes as long as all else in here.
    name = getattr(settings._wrapped, "CHANNEL_SESSION_ENGINE", None)  # type: ignore[misc]
    engine = name or engine
    if engine == _IN_COOKIES:
        setting = "CHANNEL_SESSION_ENGINE" if name else "SESSION_ENGINE"
        raise ValueError(
            f"channel sessions cannot be kept in cookies, as {setting} = {engine!r} says: no "
            "consumer can set one; set CHANNEL_SESSION_ENGINE to an engine that stores on the "
            "server, such as 'django.contrib.sessions.backends.db' or '...backends.cache'"
        )
    return engine


def channel_session_key(reply_channel: str) -> str:
    """The key of a channel's session: a keyed hash, which nobody can make of the name alone."""
    keyed = _keyed_hash(settings.SECRET_KEY).copy()
    keyed.update(reply_channel.encode())
    digest: str = keyed.hexdigest()
    return (PREFIX + digest)[:_KEY_LENGTH]


def session_for_key(session_key: str) -> BrowserSession | None:
    """The session of ``SESSION_ENGINE`` with that key, None where there is no such session.

    It is read at once, which is the one query. Keys of channel sessions, and what cannot be a key,
    are not looked for.
    """
    is_key = session_key.isascii() and session_key.isprintable()
    if not is_key or (session_key.startswith(PREFIX) and len(session_key) == _KEY_LENGTH):
        return None
    session: BrowserSession = _store(settings.SESSION_ENGINE, BrowserSession)(session_key)
    return session if session.is_there() else None


@functools.lru_cache(maxsize=4)
def _keyed_hash(secret: str | bytes) -> Any:
    """The hash without a value, to be copied: making the key of it is most of the work."""
    return salted_hmac("channels.sessions", "", secret=secret, algorithm="sha256")


@functools.lru_cache(maxsize=16)
def _store(engine: str, kind: type[SessionBase]) -> Any:
    """The engine's ``SessionStore`` behind ``kind``."""
    store = import_module(engine).SessionStore
    bases = [kind] if store is DatabaseStore else [kind, store]
    if issubclass(store, DatabaseStore):
        bases.append(_DeletesInOneQuery)
    # The qualified name is part of the salt by which the engine signs its data.
    namespace = {"__module__": __name__, "__qualname__": store.__qualname__}
    return type(store.__name__, tuple(bases), namespace)
