"""The pages of the live blog."""

from blog import views
from django.urls import path

urlpatterns = [
    path("", views.index, name="index"),
    path("liveblog/<slug:slug>/", views.read, name="read"),
    path("liveblog/<slug:slug>/write/", views.write, name="write"),
    path("liveblog/<slug:slug>/write/<int:pk>/", views.change, name="change"),
]
