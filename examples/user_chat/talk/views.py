"""The pages; only users get to see rooms."""

from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import UserCreationForm
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from talk.models import TEXT_LENGTH, Room

RoomForm = modelform_factory(Room, fields=["title", "slug"])


def sign_up(request: HttpRequest) -> HttpResponse:
    """Make an account, and log in with it."""
    form = UserCreationForm(request.POST or None)
    if form.is_valid():
        login(request, form.save())
        return redirect("rooms")
    return render(request, "talk/sign_up.html", {"form": form})


@login_required
def rooms(request: HttpRequest) -> HttpResponse:
    """The rooms that the user may enter, and a form for new ones."""
    form = RoomForm(request.POST or None)
    if form.is_valid():
        return redirect("room", form.save().slug)
    context = {"rooms": Room.open_to(request.user).order_by("title"), "form": form}
    return render(request, "talk/rooms.html", context)


@login_required
def room(request: HttpRequest, slug: str) -> HttpResponse:
    """A room; what is said in it comes over the socket."""
    found = get_object_or_404(Room.open_to(request.user), slug=slug)
    return render(request, "talk/room.html", {"room": found, "text_length": TEXT_LENGTH})
