"""The test cases: each test has channel layers of its own, in memory.

The clients, which run consumers in a test, are in ``client`` and ``websocket``; routes for a test
in ``routes``; tests against real processes in ``liveserver``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

from django.core.exceptions import ImproperlyConfigured
from django.test import TestCase, TransactionTestCase

from channels import DEFAULT_CHANNEL_LAYER
from channels.asgi import channel_layers
from channels.binding.base import sending_at_once
from channels.message import Message
from channels.test.client import Client
from channels.test.connections import keep_connections
from channels.test.layers import captive_layers, renew_layers
from channels.test.messages import next_message, nothing_on
from channels.test.routes import apply_routes

__all__ = [
    "ChannelTestCase",
    "ChannelTestCaseMixin",
    "Client",
    "TransactionChannelTestCase",
    "apply_routes",
]

if TYPE_CHECKING:
    _Base = TransactionTestCase
else:
    _Base = object


class ChannelTestCaseMixin(_Base):
    """Gives a test case of Django's captive layers; stands before it among the bases.

    From ``setUpClass`` on, nothing is sent to the configured layers; each test begins with fresh
    ones. Database connections stay open through the consumers that a test runs. In a ``TestCase``,
    whose transactions are never committed, data binding sends at once.
    """

    #: The aliases of the layers that are captive.
    test_channel_aliases: Sequence[str] = [DEFAULT_CHANNEL_LAYER]

    @classmethod
    def setUpClass(cls) -> None:
        """Put captive layers in place, before the class's test data are made."""
        if isinstance(cls.test_channel_aliases, str):
            raise ImproperlyConfigured(
                f"{cls.__name__}.test_channel_aliases must be a list of aliases, not the string "
                f"{cls.test_channel_aliases!r}; write [{cls.test_channel_aliases!r}]"
            )
        cls.enterClassContext(captive_layers(cls.test_channel_aliases))
        cls.enterClassContext(keep_connections())
        if issubclass(cls, TestCase):  # its transactions are never committed
            cls.enterClassContext(sending_at_once())
        super().setUpClass()

    # A class method as Django's, which calls it from setUpClass where tests commit.
    @classmethod
    def _pre_setup(cls) -> None:
        super()._pre_setup()  # type: ignore[misc]  # Django's stubs leave it out
        renew_layers(cls.test_channel_aliases)

    @overload
    def get_next_message(
        self, channel: str, alias: str = ..., *, require: Literal[True]
    ) -> Message: ...
    @overload
    def get_next_message(
        self, channel: str, alias: str = ..., require: bool = ...
    ) -> Message | None: ...
    def get_next_message(
        self, channel: str, alias: str = DEFAULT_CHANNEL_LAYER, require: bool = False
    ) -> Message | None:
        """Take the next message from ``channel`` of the layer ``alias``.

        Where there is none it is None or, with ``require``, the test fails and says what waits on
        other channels.
        """
        layer = channel_layers[alias]
        message = next_message(layer, channel)
        if message is None and require:
            self.fail(nothing_on(layer, channel))
        return message


class ChannelTestCase(ChannelTestCaseMixin, TestCase):
    """A ``django.test.TestCase`` with captive layers."""


class TransactionChannelTestCase(ChannelTestCaseMixin, TransactionTestCase):
    """A ``django.test.TransactionTestCase`` with captive layers."""
