"""Which consumer handles what: the counterpart of urls.py for sockets."""

from values.consumers import Demultiplexer

from channels import route_class

channel_routing = [
    route_class(Demultiplexer, path=r"^/binding/$"),
]
