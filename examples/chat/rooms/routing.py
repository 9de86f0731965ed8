"""The sockets of a room; the name of the room is in the path."""

from channels import route
from rooms.consumers import ws_connect, ws_disconnect, ws_receive
from rooms.models import ROOM_LENGTH

#: The part of the path that names the room, as ``<slug:room>`` does in urls.py.
ROOM = rf"^/(?P<room>[-a-zA-Z0-9_]{{1,{ROOM_LENGTH}}})/$"

channel_routing = [
    route("websocket.connect", ws_connect, path=ROOM),
    route("websocket.receive", ws_receive, path=ROOM),
    route("websocket.disconnect", ws_disconnect, path=ROOM),
]
