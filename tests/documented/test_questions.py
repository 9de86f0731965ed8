"""The samples of the chapter Frequently Asked Questions."""

import re

from django.core.management import call_command

from channels.channel import Group
from channels.test import Client

#: The asgi.py that the chapter refers to, without the name of a settings module: the tests' stay.
ASGI = """
from channels.asgi import get_channel_layer
channel_layer = get_channel_layer()
"""

COMMAND = """
from django.core.management.base import BaseCommand
from channels import Channel

class Command(BaseCommand):
    def handle(self, *args, **options):
        """


def test_sending_from_a_program(sample, project):
    project.write("yourproject.asgi", ASGI)
    client = Client()
    Group("group_name").add(client.reply_channel)

    exec(re.sub("^>>> ", "", sample, flags=re.MULTILINE), {})

    assert client.get_next_message("channel_name").content == {"text": "channel_text"}
    assert client.receive() == {"text": "group_text"}


def test_sending_by_a_command(sample, project):
    project.write("events.models")
    content = '{"happened": "elsewhere"}'
    code = COMMAND + sample.replace("{...}", content)
    project.write("events.management.commands.send_custom_event", code)
    project.install("events")

    call_command("send_custom_event")

    assert Client().get_next_message("namehere").content == {"happened": "elsewhere"}
