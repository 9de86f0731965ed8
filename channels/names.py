"""The grammar of channel and group names, and the random parts of generated ones.

A channel name is a main part of ASCII letters, digits, ``.``, ``-`` and ``_``, after which a type
character may follow: ``?`` for a channel with a single reader, ``!`` for the channels of one
process. What follows ``!`` is the *local part*: the layer queues by the name up to and including
``!``, and only the reading process looks further (ASGI spec, Channels and Messages; Strings and
Unicode).
"""

import re
import secrets

__all__ = [
    "MAX_NAME_LENGTH",
    "check_channel_name",
    "check_channel_names",
    "check_group_name",
    "is_channel_name",
    "is_group_name",
    "is_process_channel",
    "queue_name",
    "random_part",
    "split_name",
]

#: Characters in a name, at most (Concepts, Channel Types). The ASGI spec asks for 100 at least.
MAX_NAME_LENGTH = 200

#: Bytes of randomness in generated names: 128 bits, so that no name can be guessed or met twice.
_RANDOM_BYTES = 16

_CHANNEL = re.compile(r"[a-zA-Z0-9._-]+(?:[?!][a-zA-Z0-9._-]*)?")
_GROUP = re.compile(r"[a-zA-Z0-9._-]+")


def is_channel_name(name: object, receive: bool = False) -> bool:
    """Whether ``name`` may be sent to or, with ``receive``, be listened to."""
    if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH or not _CHANNEL.fullmatch(name):
        return False
    return not receive or "!" not in name or name.endswith("!")


def is_group_name(name: object) -> bool:
    """Whether ``name`` may name a group."""
    return isinstance(name, str) and len(name) <= MAX_NAME_LENGTH and bool(_GROUP.fullmatch(name))


def check_channel_name(name: object, receive: bool = False) -> None:
    """Raise ``TypeError`` with the reason where ``is_channel_name`` says no."""
    if is_channel_name(name, receive):
        return
    if receive and is_channel_name(name):
        raise TypeError(
            f"cannot receive on {name!r}: a process channel is read by its name up to the '!', "
            f"{queue_name(str(name))!r}"
        )
    raise TypeError(
        f"invalid channel name {name!r}: it must be a str of 1 to {MAX_NAME_LENGTH} ASCII letters, "
        "digits, '.', '-' and '_', with at most one '?' or '!' after the first of them"
    )


def check_channel_names(names: object, receive: bool = False) -> None:
    """Check each of a list or tuple of names; raises ``TypeError``, for a bare string too."""
    if isinstance(names, (str, bytes)) or not hasattr(names, "__iter__"):
        raise TypeError(f"channel names must be a list, not {names!r}")
    for name in names:
        check_channel_name(name, receive)


def check_group_name(name: object) -> None:
    """Raise ``TypeError`` with the reason where ``is_group_name`` says no."""
    if not is_group_name(name):
        raise TypeError(
            f"invalid group name {name!r}: it must be a str of 1 to {MAX_NAME_LENGTH} ASCII "
            "letters, digits, '.', '-' and '_'"
        )


def is_process_channel(name: str) -> bool:
    """Whether ``name`` is one of a process's channels, with or without its local part."""
    return "!" in name


def queue_name(name: str) -> str:
    """The name under which a layer queues messages for ``name``: without the local part."""
    return split_name(name)[0]


def split_name(name: str) -> tuple[str, str]:
    """The queue's name and the local part, which is empty for all but process channels."""
    main, mark, local = name.partition("!")
    return main + mark, local


def random_part() -> str:
    """A fresh random part for a name: 32 hexadecimal digits from the system's generator."""
    return secrets.token_hex(_RANDOM_BYTES)
