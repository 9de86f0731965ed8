"""A layer for Daphne, as ``--application`` names it."""

from channels.layers.inmemory import ChannelLayer

channel_layer = ChannelLayer()
