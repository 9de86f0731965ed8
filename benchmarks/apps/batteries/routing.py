"""An echo in a synchronous consumer."""

from channels import route
from channels.message import Message


def connect(message: Message) -> None:
    message.reply_channel.send({"accept": True})


def receive(message: Message) -> None:
    message.reply_channel.send({"text": message["text"]})


channel_routing = [
    route("websocket.connect", connect),
    route("websocket.receive", receive),
]
