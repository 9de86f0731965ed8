"""Settings of the application."""

SECRET_KEY = "the application signs nothing that matters"
INSTALLED_APPS = [
    "channels",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "tests.typing.blog",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.typing.blog.settings"
urlpatterns: list[object] = []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels.layers.inmemory.ChannelLayer",
        "ROUTING": "tests.typing.blog.routing.channel_routing",
    }
}
