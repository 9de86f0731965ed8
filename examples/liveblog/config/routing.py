"""Which consumer handles what: the counterpart of urls.py for sockets."""

from channels import include

channel_routing = [
    include("blog.routing.channel_routing", path=r"^/liveblog"),
]
