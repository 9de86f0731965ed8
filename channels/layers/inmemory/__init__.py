"""The channel layer of one process: servers and workers are threads that share one ``ChannelLayer``
object.

For development, tests and deployments of a single process. Messages are kept encoded, so that
nothing that sender or receiver do to theirs later reaches another.
"""

from channels.layers.inmemory.layer import ChannelLayer

__all__ = ["ChannelLayer", "channel_layer"]

#: A layer to share without settings.
channel_layer = ChannelLayer()
