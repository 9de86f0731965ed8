"""Which consumer gets what."""

from channels import include, route, route_class
from channels.routing import null_consumer
from tests.typing.blog import consumers
from tests.typing.blog.classes import Chat, Echo, Streams, Work

sockets = [
    route("websocket.connect", consumers.connect, path=r"^/(?P<room>\w+)/$"),
    route("websocket.receive", consumers.receive),
    route("websocket.disconnect", "tests.typing.blog.consumers.disconnect"),
]
channel_routing = [
    Echo.as_route(path=r"^/echo/(?P<room>\w+)/$"),
    Chat.as_route(attrs={"json_depth": 5}, path=r"^/chat/(?P<room>\w+)/$"),
    route_class(Streams, path=r"^/streams/(?P<room>\w+)/$"),
    route_class(Work),
    route("http.request", consumers.poll, path=r"^/poll/$", method=r"^GET$"),
    route(["blog.log", "blog.logs"], consumers.log),
    route("blog.nothing", null_consumer),
    include(sockets, path=r"^/blog"),
]
