"""What ties the model to the page: the page sees each change, and may make some."""

from collections.abc import Iterable
from typing import Any

from channels.binding.websockets import WebsocketBinding
from values.models import IntegerValue


class IntegerValueBinding(WebsocketBinding):
    """All values, for all pages."""

    model = IntegerValue
    stream = "intval"
    fields = ["name", "value"]

    @classmethod
    def group_names(cls, instance: IntegerValue) -> Iterable[str]:
        return ["intval-updates"]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return True  # a project looks here who the user is, and what they may do
