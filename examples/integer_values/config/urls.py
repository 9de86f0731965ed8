"""The page, and the values as an ordinary request gets them."""

from django.urls import path
from values import views

urlpatterns = [
    path("", views.index),
    path("values/", views.values),
]
