"""The admin pages of delayed messages: what is pending, due or dead, and what to do about it."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from channels.delay import instants
from channels.delay.models import DelayedMessage
from channels.exceptions import InvalidStoredMessage

__all__ = ["DelayedMessageAdmin", "StatusFilter"]

#: Characters of a content that are shown.
_SHOWN = 10_000


class StatusFilter(admin.SimpleListFilter):
    """Pending, due or dead."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """What may be chosen."""
        return [("waiting", _("not due yet")), ("due", _("due")), ("dead", _("dead letters"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The rows of what was chosen."""
        match self.value():
            case "waiting":
                return queryset.pending().filter(due_date__gt=instants.now())
            case "due":
                return queryset.is_due()
            case "dead":
                return queryset.dead()
        return queryset


@admin.register(DelayedMessage)
class DelayedMessageAdmin(ModelAdmin):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Messages are looked at, cancelled, sent at once and requeued; not written by hand."""

    list_display = ("key", "layer", "channel_name", "due_date", "status", "attempts", "error")
    list_filter = (StatusFilter,)
    search_fields = ("key", "channel_name", "error")
    ordering = ("due_date", "pk")
    show_full_result_count = False
    fields = (
        *("key", "layer", "channel_name", "due_date", "status", "attempts", "error"),
        *("size", "shown_content"),
    )
    readonly_fields = fields
    actions = ("cancel", "send_now")

    @admin.display(description=_("status"), ordering="state")
    def status(self, message: DelayedMessage) -> Any:
        """Pending, due, or a dead letter."""
        if message.state == DelayedMessage.State.DEAD:
            return message.get_state_display()
        return _("due") if message.delay <= 0 else _("pending")

    @admin.display(description=_("bytes"))
    def size(self, message: DelayedMessage) -> int:
        """Bytes of the content as it is stored."""
        return len(message.body)

    @admin.display(description=_("content"))
    def shown_content(self, message: DelayedMessage) -> str:
        """The content as Python writes it, cut where it is long."""
        try:
            text = repr(message.content)
        except InvalidStoredMessage as error:
            text = f"{bytes(message.body[:_SHOWN])!r} ({error})"
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Applications send messages."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: DelayedMessage | None = None
    ) -> bool:
        """Django's own deletion would not heed what is being sent."""
        return False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whoever may delete messages may cancel them."""
        return super().has_delete_permission(request)

    @admin.action(description=_("Cancel selected messages"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[DelayedMessage]) -> None:
        """Remove messages, as ``channels.delay.cancel`` does."""
        count = queryset.cancel()  # type: ignore[attr-defined]
        self._tell(request, count, "%d message was cancelled.", "%d messages were cancelled.")

    @admin.action(
        description=_("Send selected messages, and dead letters, now"), permissions=["change"]
    )
    def send_now(self, request: HttpRequest, queryset: QuerySet[DelayedMessage]) -> None:
        """Have the delay servers send them; dead letters are new messages again."""
        count = self._unclaimed(queryset).send_now()
        self._tell(request, count, "%d message is due now.", "%d messages are due now.")

    def _unclaimed(self, queryset: Any) -> Any:
        """Those of ``queryset`` that no delay server is sending; without order, to be changed."""
        return queryset.order_by().unclaimed()

    def _tell(self, request: HttpRequest, count: int, one: str, many: str) -> None:
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, ngettext(one, many, count) % count, level)
