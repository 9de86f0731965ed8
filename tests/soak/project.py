"""The site of the soak: its consumers echo, tell groups, delay, and misbehave."""

__all__ = ["FILES", "settings"]

_SETTINGS = """
DEBUG = False
INSTALLED_APPS = ["channels", "channels.delay"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {{"default": {{**{database!r}, "CONN_MAX_AGE": 60}}}}
CHANNEL_LAYERS = {{"default": {{**{layer!r}, "ROUTING": "routing.channel_routing"}}}}
"""

_ASGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from channels.asgi import get_channel_layer
channel_layer = get_channel_layer()
"""

_URLS = """
import time
from django.db import connection
from django.http import HttpResponse
from django.urls import path

def page(request, number, pause=0):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::int", [number])
        found = cursor.fetchone()[0]
    time.sleep(pause)
    return HttpResponse(f"page {found}")

urlpatterns = [
    path("page/<int:number>/", page),
    path("slow/<int:number>/", page, {"pause": 0.05}),
]
"""

_ROUTING = """
import os, re, time
from channels import Channel, Group, route

def join(message):
    Group("room").add(message.reply_channel)
    message.reply_channel.send({"accept": True})

def accept(message):
    message.reply_channel.send({"accept": True})

def leave(message):
    Group("room").discard(message.reply_channel)

def receive(message):
    kind, number, *more = message["text"].split()
    answer = {"text": f"{kind} {number}"}
    if kind == "g":
        Group("room").send(answer)
    elif kind == "d":
        Channel("asgi.delay").send(
            {"channel": message.reply_channel.name, "content": answer, "delay": int(more[0])}
        )
    else:
        message.reply_channel.send(answer)

kept = []

def misbehave(message):
    how = message["how"]
    if how == "hang":
        while True:
            time.sleep(1)
    elif how == "hang in C":
        re.match(r"(a+)+$", "a" * 60 + "b")
    elif how == "leak":
        kept.append(bytearray(os.urandom(1024)) * (message["MiB"] * 1024))
    elif how == "exit":
        os._exit(7)

ROOM = "^/room/$"

channel_routing = [
    route("websocket.connect", join, path=ROOM),
    route("websocket.disconnect", leave, path=ROOM),
    route("websocket.connect", accept),
    route("websocket.receive", receive),
    route("misbehave", misbehave),
]
"""

#: By their names.
FILES = {"asgi.py": _ASGI, "urls.py": _URLS, "routing.py": _ROUTING}


def settings(database: dict[str, object], layer: dict[str, object]) -> str:
    """What the settings have besides those of other projects of the tests."""
    return _SETTINGS.format(database=database, layer=layer)
