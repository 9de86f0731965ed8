"""The two pages: a door, and a room."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from rooms.models import NAME_LENGTH, TEXT_LENGTH, ChatMessage

#: Messages that a page shows when it loads.
SHOWN = 50


def index(request: HttpRequest) -> HttpResponse:
    """Ask for a name and a room."""
    rooms = ChatMessage.objects.order_by("room").values_list("room", flat=True).distinct()[:20]
    return render(request, "rooms/index.html", {"rooms": rooms, "name_length": NAME_LENGTH})


def room(request: HttpRequest, room: str) -> HttpResponse:
    """A room with what was said last."""
    name = request.GET.get("name", "").strip()[:NAME_LENGTH]
    if not name:
        return redirect("index")
    latest = ChatMessage.objects.filter(room=room).order_by("-id")[:SHOWN]
    context = {
        "room": room,
        "name": name,
        "events": [message.as_event() for message in reversed(latest)],
        "text_length": TEXT_LENGTH,
    }
    return render(request, "rooms/room.html", context)
