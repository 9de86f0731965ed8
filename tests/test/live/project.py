"""What the live server's tests serve: two views and a few consumers."""

import os
import threading

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.urls import path

from channels import Channel, Group, route


def names(request):
    """The users in the database."""
    users = get_user_model().objects.order_by("username")
    return HttpResponse(",".join(users.values_list("username", flat=True)))


def about(request):
    """What the process works with."""
    return HttpResponse(f"{os.getpid()} {settings.LANGUAGE_CODE} {settings.DEBUG}")


def broken(request):
    raise ZeroDivisionError("a view that fails")


urlpatterns = [path("names/", names), path("about/", about), path("broken/", broken)]


def connect(message):
    message.reply_channel.send({"accept": True})
    Group("everybody").add(message.reply_channel)


def receive(message):
    if message["text"] == "fail":
        raise ZeroDivisionError("a consumer that fails")
    if message["text"] == "die":
        os._exit(7)
    if message["text"] == "hang":
        threading.Event().wait()
    message.reply_channel.send({"text": message["text"].upper()})


def disconnect(message):
    get_user_model().objects.create_user("written at the disconnect")
    Channel("ends").send({"path": message["path"]})


channel_routing = [
    route("websocket.connect", connect),
    route("websocket.receive", receive),
    route("websocket.disconnect", disconnect),
]
