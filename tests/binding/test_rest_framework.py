"""The example of docs/binding.md: values by a serializer of djangorestframework."""

import json

import pytest
from rest_framework import serializers

from channels import route
from channels.binding.base import BindingMetaclass
from channels.binding.fields import Refused
from channels.binding.websockets import WebsocketBinding
from tests.binding.models import Tag
from tests.generic.sockets import Socket


class TagSerializer(serializers.ModelSerializer):
    shout = serializers.SerializerMethodField()

    class Meta:
        model = Tag
        fields = ["name", "shout"]

    def get_shout(self, tag):
        return tag.name.upper()


class SerializerBinding(WebsocketBinding):
    """Has a serializer make and check the data."""

    model = None
    serializer_class: type[serializers.ModelSerializer]

    def serialize_data(self, instance):
        return self.serializer_class(instance).data

    def create(self, data):
        self._save_valid(self.serializer_class(data=data))

    def update(self, pk, data):
        self._save_valid(self.serializer_class(self.row(pk), data=data, partial=True))

    def _save_valid(self, serializer):
        if not serializer.is_valid():
            raise Refused(str(serializer.errors))
        serializer.save()


@pytest.fixture
def binding():
    known = list(BindingMetaclass.binding_classes)

    class TagBinding(SerializerBinding):
        model = Tag
        stream = "tags"
        fields = ["name"]
        serializer_class = TagSerializer

        @classmethod
        def group_names(cls, instance):
            return ["tags"]

        def has_permission(self, user, action, pk):
            return True

    yield TagBinding
    TagBinding.unregister()
    BindingMetaclass.binding_classes[:] = known


def test_a_serializer_makes_and_checks_the_data(binding, listening, caplog):
    tags = listening("tags")
    socket = Socket(route("websocket.receive", binding.consumer))
    for request in (
        {"action": "create", "data": {"name": "red"}},
        {"action": "update", "pk": 1, "data": {"name": "blue"}},
        {"action": "update", "pk": 1, "data": {"name": "x" * 30}},
    ):
        socket.does("receive", text=json.dumps(request))
    heard = [(action, payload["data"]) for _, action, payload in tags.hears()]
    assert heard == [
        ("create", {"name": "red", "shout": "RED"}),
        ("update", {"name": "blue", "shout": "BLUE"}),
    ]
    assert "Ensure this field has no more than 20 characters" in caplog.text
