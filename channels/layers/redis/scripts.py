"""The Lua scripts of ``lua/``, and how they are called.

Each script runs on one shard and names in KEYS every key that it touches, as clusters demand.
``common.lua`` is put in front of each, ``groups.lua`` in front of those about groups, and
``push_quick.lua`` before all the rest of the script that runs most often.
"""

import hashlib
from collections.abc import Sequence
from importlib import resources

from channels._speedups import resp

__all__ = ["SCRIPTS", "Script", "with_several"]

#: Every script that was made, to be loaded into a server.
SCRIPTS: list["Script"] = []


class Script:
    """One script. ``name`` is that of its file."""

    def __init__(self, name: str) -> None:
        parts = ["common", "groups", name] if name.startswith("group_") else ["common", name]
        if name == "push":
            parts.insert(0, "push_quick")
        folder = resources.files("channels.layers.redis").joinpath("lua")
        self.name = name
        self.source = "\n".join(
            folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in parts
        )
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        #: The command that loads it.
        self.load = resp.pack(("SCRIPT", "LOAD", self.source))
        SCRIPTS.append(self)

    def __call__(self, keys: tuple[bytes, ...], *args: bytes | str | int) -> bytes:
        """The command that runs it."""
        return resp.pack(("EVALSHA", self.sha, len(keys), *keys, *args))

    def head(self, keys: tuple[bytes, ...], *args: bytes | str | int) -> bytes:
        """The command without its last argument, which ``resp.bulk`` adds."""
        whole = resp.pack(("EVALSHA", self.sha, len(keys), *keys, *args, b""))
        return whole.removesuffix(b"$0\r\n\r\n")


def with_several(head: bytes, values: Sequence[bytes]) -> bytes:
    """The command that begins with ``head``, with ``values`` in place of its last argument."""
    count, _, rest = head.partition(b"\r\n")
    pieces = [b"*%d\r\n%b" % (int(count[1:]) + len(values) - 1, rest)]
    for value in values:
        pieces += (b"$%d\r\n" % len(value), value, b"\r\n")
    return b"".join(pieces)


PUSH = Script("push")
TAKE = Script("take")
EVICT = Script("evict")
FREED = Script("freed")
RETURN = Script("return")
ROOM = Script("room")
LEAVE = Script("leave")
INSPECT = Script("inspect")
CHECK = Script("check")
EXISTS = Script("exists")
GROUP_ADD = Script("group_add")
GROUP_DISCARD = Script("group_discard")
GROUP_SEND = Script("group_send")
GROUP_MEMBERS = Script("group_members")
