"""What ``runserver`` puts together, in one process, without its log lines. Argument: the port."""

import sys
import threading

import django

django.setup()

from channels.asgi import channel_layers  # noqa: E402  (Django is set up first)
from channels.handler import ViewConsumer  # noqa: E402
from channels.worker import Worker  # noqa: E402
from daphne.server import Server  # noqa: E402

layer = channel_layers["default"]
layer.router.check_default(http_consumer=ViewConsumer())
worker = Worker(channel_layer=layer, signal_handlers=False)
threading.Thread(target=worker.run, daemon=True).start()
Server(
    channel_layer=layer,
    endpoints=[f"tcp:port={sys.argv[1]}:interface=127.0.0.1"],
    signal_handlers=True,
).run()
