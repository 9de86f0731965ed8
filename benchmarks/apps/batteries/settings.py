"""A Django project with one view and one socket, over the in-memory layer."""

SECRET_KEY = "a benchmark signs nothing that matters"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "project.urls"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels.layers.inmemory.ChannelLayer",
        "ROUTING": "project.routing.channel_routing",
        "CONFIG": {"capacity": 1000},
    }
}
