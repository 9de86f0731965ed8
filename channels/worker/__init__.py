"""Workers: they take messages off a channel layer and run the consumers that these are routed to.

``dispatch`` runs one message, ``worker`` is the loop of one thread, ``group`` keeps several threads
going, ``stopping`` turns SIGTERM and SIGINT into an orderly end. The ``runworker`` and
``runserver`` commands start them; matching is in ``channels.routing``.
"""

from .group import WorkerGroup
from .worker import Worker

__all__ = ["Worker", "WorkerGroup"]
