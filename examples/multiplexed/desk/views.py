"""The page; all that is on it comes over its socket."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def index(request: HttpRequest) -> HttpResponse:
    """The page."""
    return render(request, "desk/index.html")
