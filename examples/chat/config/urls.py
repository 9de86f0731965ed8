"""The pages of the chat example."""

from django.urls import path
from rooms import views

urlpatterns = [
    path("", views.index, name="index"),
    path("rooms/<slug:room>/", views.room, name="room"),
]
