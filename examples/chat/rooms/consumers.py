"""Plain synchronous functions, one for each thing that can happen to a socket."""

import json
from urllib.parse import parse_qs

from channels import Group
from channels.message import Message
from rooms.models import NAME_LENGTH, TEXT_LENGTH, ChatMessage, Participant

#: Messages that a page which was away may catch up with.
CATCH_UP = 200


def room_group(room: str) -> Group:
    """Everybody in a room."""
    return Group(f"room.{room}")


def announce(room: str, event: dict[str, object]) -> None:
    """Send ``event`` to everybody in the room."""
    room_group(room).send({"text": json.dumps(event)})


def ws_connect(message: Message, room: str) -> None:
    """Let somebody in, send what they missed since their page was loaded, and tell the others."""
    query = parse_qs(message["query_string"].decode())
    name = query.get("name", [""])[0].strip()[:NAME_LENGTH] or "somebody"
    Participant.objects.create(reply_channel=message.reply_channel.name, room=room, name=name)
    message.reply_channel.send({"accept": True})
    after = query.get("after", ["0"])[0]
    missed = ChatMessage.objects.filter(room=room, id__gt=int(after) if after.isdecimal() else 0)
    for said in missed[:CATCH_UP]:
        message.reply_channel.send({"text": json.dumps(said.as_event())})
    room_group(room).add(message.reply_channel)
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
