"""The URLs of the test project."""

from django.urls import path

from tests import views

urlpatterns: list[object] = [
    path("", views.hello),
    path("hello/", views.hello),
    path("name/<str:name>/", views.name, name="name"),
    path("echo/", views.echo),
    path("form/", views.form),
    path("read/", views.read),
    path("host/", views.host),
    path("headers/", views.headers),
    path("unsafe/<str:where>/", views.unsafe),
    path("redirect/", views.redirect),
    path("large/", views.large),
    path("streamed/", views.streamed),
    path("streamed/empty/", views.empty_stream),
    path("streamed/async/", views.streamed_async),
    path("streamed/broken/<int:parts>/", views.broken_stream),
    path("file/", views.file),
    path("async/", views.asynchronous),
    path("unawaited/", views.unawaited),
    path("error/", views.error),
    path("error/<str:kind>/", views.error),
    path("later/", views.later),
    path("language/", views.language),
]
