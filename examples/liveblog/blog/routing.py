"""The sockets of readers; the blog is in the path."""

from blog.consumers import connect_blog, disconnect_blog
from channels import route

channel_routing = [
    route("websocket.connect", connect_blog, path=r"^/(?P<slug>[^/]+)/stream/$"),
    route("websocket.disconnect", disconnect_blog, path=r"^/(?P<slug>[^/]+)/stream/$"),
]
