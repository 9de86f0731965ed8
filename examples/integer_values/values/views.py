"""The page, and the values that it begins with."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from values.models import IntegerValue


def index(request: HttpRequest) -> HttpResponse:
    """The page."""
    return render(request, "values/index.html")


def values(request: HttpRequest) -> JsonResponse:
    """All values. A page asks for them each time that its socket is open: there is no history."""
    rows = IntegerValue.objects.order_by("name").values("pk", "name", "value")
    return JsonResponse({"values": list(rows)})
