"""The samples of the Release Notes that are of today's ways."""

import pytest

from channels.test import Client, WSClient, apply_routes

#: A model as the notes have it in mind, and a binding for their method.
BINDING = """
from django.db import models
from channels.binding.websockets import WebsocketBinding

class Note(models.Model):
    admin_only = models.BooleanField()

class NoteBinding(WebsocketBinding):
    model = Note
    stream = "notes"
    fields = ["admin_only"]

    @classmethod
"""


def test_sending_immediately(sample, project):
    given = (
        "from channels import Channel\n\ndef consumer(message):\n    Channel('later').send({})\n"
    )
    consumers = project.module("myapp.consumers", given, f"    {sample}\n    raise RuntimeError")
    client = Client()

    with apply_routes({"some-channel": consumers.consumer}), pytest.raises(RuntimeError):
        client.send_and_consume("some-channel")

    assert client.get_next_message("thumbnailing-tasks").content == {"id": 34245}


def test_binding_group_names(sample, project):
    indented = "".join(f"    {line}\n" for line in sample.splitlines())
    project.write("notes.models", BINDING + indented)
    models = project.install("notes")
    admin, other = WSClient(), WSClient()
    admin.join_group("admins")
    other.join_group("non-admins")

    def actions(note):
        note.save()
        replies = [client.receive() for client in (admin, other)]
        return [reply and reply["payload"]["action"] for reply in replies]

    note = models.Note(admin_only=False)
    assert actions(note) == ["create", "create"]
    note.admin_only = True
    assert actions(note) == ["update", "delete"]
    assert actions(note) == ["update", None]
