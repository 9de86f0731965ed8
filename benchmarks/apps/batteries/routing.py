"""An echo in a synchronous consumer."""

from channels.message import Message

from channels import route


def connect(message: Message) -> None:
    message.reply_channel.send({"accept": True})


def receive(message: Message) -> None:
    message.reply_channel.send({"text": message["text"]})


channel_routing = [
    route("websocket.connect", connect),
    route("websocket.receive", receive),
]
