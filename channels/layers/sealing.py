"""Authenticated encryption of the bodies that a layer stores where others may read or write.

A sealed body is bound to the channel or group that it was sent to: found elsewhere, it does not
open. The first key seals and every key opens, so that keys can be replaced one by one. The bytes
are described in ``docs/encryption.md``. Key management is the project's.
"""

import functools
import importlib
import itertools
import os
import secrets
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from channels.exceptions import InvalidStoredMessage
from channels.layers.base import BaseChannelLayer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["SealedChannelLayer", "Sealer"]

#: First bytes of a sealed body, which tell what it is bound to. No message begins with them: the
#: first byte of a msgpack map is 0x80 at least.
_KINDS = _FOR_CHANNEL, _FOR_GROUP = b"\x01", b"\x02"

#: Bytes of the parts of what ``Sealer.seal`` gives, in their order; the rest is the ciphertext.
_KEY_ID, _SALT, _NONCE = 4, 16, 12
_HEAD = _KEY_ID + _SALT + _NONCE

#: Bytes of the authentication tag at the end of the ciphertext.
_TAG = 16

#: What the subkeys and the key ids are derived for (RFC 5869, ``info``).
_SUBKEY_INFO, _KEY_ID_INFO = b"channels-batteries body 1", b"channels-batteries key id 1"

#: Bodies sealed with one subkey. Far below what AES-GCM bears (2^36 blocks of 16 bytes for a
#: chance of 2^-57), also for large bodies.
_BODIES = 2**20

#: Subkeys of other processes that are remembered. One costs 6 microseconds to derive.
_SUBKEYS = 1024

_sealers: "weakref.WeakSet[Sealer]" = weakref.WeakSet()


def _tell_sealers_of_fork() -> None:
    for sealer in list(_sealers):
        sealer._begin()


# parent and child must not count on in the same nonces
os.register_at_fork(after_in_child=_tell_sealers_of_fork)


class _Subkey(NamedTuple):
    """What this process seals with: bytes before the nonce, cipher, and the numbers in use."""

    head: bytes
    encrypt: Callable[[bytes, bytes, bytes], bytes]
    numbers: "itertools.count[int]"


class Sealer:
    """Seals with the first of ``keys`` and opens with any of them. Safe in threads and forks.

    A key is a ``str`` (its UTF-8 bytes count) or ``bytes``, and should hold 32 random bytes: it is
    not stretched as a password would be. Raises ``TypeError`` and ``ValueError`` for other values.
    """

    def __init__(self, keys: Iterable[str | bytes]) -> None:
        self._keys = [_key_bytes(key) for key in _listed(keys)]
        if not self._keys:
            raise ValueError(
                "symmetric_encryption_keys is empty; list at least one key, or give None to store "
                "messages in clear"
            )
        by_id: dict[bytes, list[bytes]] = {}
        for key in self._keys:
            by_id.setdefault(_derived(key, b"", _KEY_ID_INFO, _KEY_ID), []).append(key)
        self._key_id = next(iter(by_id))
        self._known_ids = frozenset(by_id)
        self._ciphers = functools.lru_cache(_SUBKEYS)(functools.partial(_ciphers, by_id))
        self._begin()
        _sealers.add(self)

    def _begin(self) -> None:
        """Draw a salt; nonces count from zero for each."""
        salt = secrets.token_bytes(_SALT)
        cipher = _cipher(self._keys[0], salt)
        self._subkey = _Subkey(self._key_id + salt, cipher.encrypt, itertools.count())

    def seal(self, body: bytes, associated: bytes) -> bytes:
        """``body`` encrypted, which ``open`` gives back to who knows ``associated``."""
        while True:
            head, encrypt, numbers = self._subkey
            number = next(numbers)  # atomic, without a lock that a finaliser could meet held
            if number < _BODIES:
                nonce = number.to_bytes(_NONCE, "big")
                return b"".join((head, nonce, encrypt(nonce, body, associated)))
            self._begin()

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """The body that was sealed with ``associated`` and any of the keys.

        Raises ``InvalidStoredMessage``.
        """
        if len(sealed) < _HEAD + _TAG:
            raise InvalidStoredMessage(
                f"a sealed body has {_HEAD + _TAG} bytes at least, this one {len(sealed)}"
            )
        for cipher in self._candidates(sealed):
            try:
                return cipher.decrypt(sealed[_HEAD - _NONCE : _HEAD], sealed[_HEAD:], associated)
            except _invalid_tag():
                continue
        raise InvalidStoredMessage(
            "no key of symmetric_encryption_keys opens it: it was sealed with another key, for "
            "another channel, or changed since"
        )

    def _candidates(self, sealed: bytes) -> "tuple[AESGCM, ...]":
        if sealed[:_KEY_ID] not in self._known_ids:
            return ()  # and nothing remembered of it
        return self._ciphers(sealed[: _KEY_ID + _SALT])


class SealedChannelLayer(BaseChannelLayer):
    """A base for layers that store bodies where strangers may come.

    ``symmetric_encryption_keys``: None to store bodies in clear, or a list of keys as ``Sealer``
    takes them. The other arguments are those of ``BaseChannelLayer``.
    """

    def __init__(
        self,
        *args: Any,
        symmetric_encryption_keys: Iterable[str | bytes] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        keys = symmetric_encryption_keys
        self._sealer = None if keys is None else Sealer(keys)

    def _encode(self, message: dict[str, Any], name: str) -> bytes:
        body = super()._encode(message, name)
        if self._sealer is None:
            return body
        return _FOR_CHANNEL + self._sealer.seal(body, _FOR_CHANNEL + name.encode())

    def _encode_for_group(self, message: dict[str, Any], group: str) -> bytes:
        body = super()._encode(message, group)
        if self._sealer is None:
            return body
        name = group.encode()
        head = _FOR_GROUP + bytes((len(name),)) + name
        return head + self._sealer.seal(body, _FOR_GROUP + name)

    def _decode(self, body: bytes, queue: str) -> dict[str, Any]:
        if self._sealer is not None:
            body = self._sealer.open(*_unbound(body, queue))
        elif body[:1] in _KINDS:
            raise InvalidStoredMessage(
                "it is sealed, but this layer has no symmetric_encryption_keys; give the same keys "
                "to every process of the project"
            )
        return super()._decode(body, queue)


def _unbound(body: bytes, queue: str) -> tuple[bytes, bytes]:
    """The sealed part of a body found in ``queue``, and the data that have to be associated."""
    kind = body[:1]
    if kind == _FOR_CHANNEL:
        return body[1:], _FOR_CHANNEL + queue.encode()
    if kind == _FOR_GROUP:
        end = 2 + int.from_bytes(body[1:2], "big")
        return body[end:], _FOR_GROUP + body[2:end]
    raise InvalidStoredMessage(
        f"it is not sealed (its first byte is {kind.hex() or 'missing'}), but this layer has "
        "symmetric_encryption_keys; give the same keys to every process of the project"
    )


def _listed(keys: Iterable[str | bytes]) -> list[str | bytes]:
    if isinstance(keys, str | bytes):
        raise ValueError(
            "symmetric_encryption_keys must be a list of keys, not a single one: [key]"
        )
    return list(keys)


def _key_bytes(key: object) -> bytes:
    """The bytes of a key. No error shows it."""
    if not isinstance(key, str | bytes):
        raise TypeError(
            f"each of symmetric_encryption_keys must be str or bytes, not {type(key).__name__}"
        )
    if not key:
        raise ValueError("one of symmetric_encryption_keys is empty; use 32 random bytes")
    return key.encode() if isinstance(key, str) else key


def _ciphers(keys_by_id: dict[bytes, list[bytes]], head: bytes) -> "tuple[AESGCM, ...]":
    """The ciphers for a key id and a salt: one, unless two keys have the same id."""
    keys = keys_by_id[head[:_KEY_ID]]
    return tuple(_cipher(key, head[_KEY_ID:]) for key in keys)


def _cipher(key: bytes, salt: bytes) -> "AESGCM":
    aead = _library("ciphers.aead")
    cipher: AESGCM = aead.AESGCM(_derived(key, salt, _SUBKEY_INFO, 32))
    return cipher


def _derived(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869)."""
    hkdf = _library("kdf.hkdf").HKDF(_library("hashes").SHA256(), length, salt, info)
    derived: bytes = hkdf.derive(key)
    return derived


@functools.cache
def _library(module: str) -> Any:
    """A module of the cryptography library, which only encrypting processes load."""
    return importlib.import_module(f"cryptography.hazmat.primitives.{module}")


@functools.cache
def _invalid_tag() -> type[Exception]:
    error: type[Exception] = importlib.import_module("cryptography.exceptions").InvalidTag
    return error
