"""The stream of the tasks, by data binding."""

from collections.abc import Iterable
from typing import Any

from channels.binding.websockets import WebsocketBinding
from desk.models import Task


class TaskBinding(WebsocketBinding):
    """All tasks, for all pages."""

    model = Task
    stream = "tasks"
    fields = ["title", "is_done"]

    @classmethod
    def group_names(cls, instance: Task) -> Iterable[str]:
        return ["desk"]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return action != "delete"  # what is done stays to be seen
