"""Data binding: models tied to what clients show (Channels documentation, Data Binding).

``base`` has the rules of either way, ``websockets`` the format of messages on WebSockets,
``stored`` what the database has of an instance, ``fields`` how values of fields travel.
"""

from channels.binding.base import CREATE, DELETE, UPDATE, Binding

__all__ = ["CREATE", "DELETE", "UPDATE", "Binding"]
