"""The pages: accounts as Django has them, and rooms."""

from django.contrib.auth import views as accounts
from django.urls import path
from talk import views

urlpatterns = [
    path("", views.rooms, name="rooms"),
    path("rooms/<slug:slug>/", views.room, name="room"),
    path("accounts/new/", views.sign_up, name="sign-up"),
    path(
        "accounts/login/", accounts.LoginView.as_view(template_name="talk/login.html"), name="login"
    ),
    path("accounts/logout/", accounts.LogoutView.as_view(), name="logout"),
]
