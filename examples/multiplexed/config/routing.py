"""Which consumer handles what: the counterpart of urls.py for sockets."""

from desk.consumers import Desk

from channels import route_class

channel_routing = [
    route_class(Desk, path=r"^/desk/$"),
]
