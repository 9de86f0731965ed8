"""Which consumer handles what: the counterpart of urls.py for sockets."""

from talk.consumers import Chat

from channels import route_class

channel_routing = [
    route_class(Chat, path=r"^/rooms/(?P<slug>[-a-zA-Z0-9_]+)/$"),
]
