"""Plain synchronous functions, one for each thing that can happen to a socket."""

import json
from urllib.parse import parse_qs

from channels import Group
from channels.message import Message
from rooms.models import NAME_LENGTH, TEXT_LENGTH, ChatMessage, Participant

#: Messages that a page which was away may catch up with, the latest ones.
CATCH_UP = 100


def room_group(room: str) -> Group:
    """Everybody in a room."""
    return Group(f"room.{room}")


def as_frame(*events: dict[str, object]) -> dict[str, str]:
    """The message that gives a page ``events``."""
    return {"text": json.dumps(events, ensure_ascii=False)}


def announce(room: str, event: dict[str, object]) -> None:
    """Send ``event`` to everybody in the room."""
    room_group(room).send(as_frame(event))


def number(digits: str) -> int:
    """An id that a page sent, or 0 for anything else."""
    return int(digits) if digits.isdecimal() and len(digits) < 20 else 0


def ws_connect(message: Message, room: str) -> None:
    """Let somebody in, send what they missed since their page was loaded, and tell the others."""
    query = parse_qs(message["query_string"].decode())
    name = query.get("name", [""])[0].strip()[:NAME_LENGTH] or "somebody"
    Participant.objects.create(reply_channel=message.reply_channel.name, room=room, name=name)
    message.reply_channel.send({"accept": True})
    # First into the group, then the look at what was said: nothing falls between the two. What
    # comes both ways the page shows once.
    room_group(room).add(message.reply_channel)
    missed = ChatMessage.latest(room, CATCH_UP, after=number(query.get("after", ["0"])[0]))
    message.reply_channel.send(as_frame(*(said.as_event() for said in missed)))
    announce(room, {"kind": "joined", "name": name})


def ws_receive(message: Message, room: str) -> None:
    """Save what was said and show it to everybody."""
    text = (message.get("text") or "").strip()
    if not text or len(text) > TEXT_LENGTH:
        return
    speaker = Participant.objects.filter(reply_channel=message.reply_channel.name).first()
    if speaker is None:
        return
    said = ChatMessage.objects.create(room=room, name=speaker.name, text=text)
    announce(room, said.as_event())


def ws_disconnect(message: Message, room: str) -> None:
    """Forget the socket and tell the others."""
    room_group(room).discard(message.reply_channel)
    leaving = Participant.objects.filter(reply_channel=message.reply_channel.name)
    name = leaving.values_list("name", flat=True).first()
    leaving.delete()
    if name is not None:
        announce(room, {"kind": "left", "name": name})
