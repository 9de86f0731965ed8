"""The two pages: a door, and a room."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from rooms.models import NAME_LENGTH, ROOM_LENGTH, TEXT_LENGTH, ChatMessage

#: Messages that a page shows when it loads.
SHOWN = 50


def index(request: HttpRequest) -> HttpResponse:
    """Ask for a name and a room."""
    rooms = ChatMessage.objects.order_by("room").values_list("room", flat=True).distinct()[:20]
    context = {"rooms": rooms, "name_length": NAME_LENGTH, "room_length": ROOM_LENGTH}
    return render(request, "rooms/index.html", context)


def room(request: HttpRequest, room: str) -> HttpResponse:
    """A room with what was said last."""
    name = request.GET.get("name", "").strip()[:NAME_LENGTH]
    if len(room) > ROOM_LENGTH:
        raise Http404(f"a room's name has at most {ROOM_LENGTH} characters")
    if not name:
        return redirect("index")
    context = {
        "room": room,
        "name": name,
        "events": [message.as_event() for message in ChatMessage.latest(room, SHOWN)],
        "text_length": TEXT_LENGTH,
    }
    return render(request, "rooms/room.html", context)
