"""Data binding: models tied to what clients show (Channels documentation, Data Binding).

``base`` has bindings and what they tell, ``inbound`` what clients may change, ``websockets`` the
format of messages on WebSockets, ``stored`` what the database has of an instance, ``fields`` how
values of fields travel.
"""

from channels.binding.base import CREATE, DELETE, UPDATE, Binding

__all__ = ["CREATE", "DELETE", "UPDATE", "Binding"]
