"""The 1.x home of ``name_that_thing``, which lives in ``channels.routing`` as ``consumer_name``."""

from channels.routing import consumer_name as name_that_thing

__all__ = ["name_that_thing"]
