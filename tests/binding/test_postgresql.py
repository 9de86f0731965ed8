"""Clients that change one row at the same time, on PostgreSQL."""

import json
import subprocess
import sys

import pytest

from tests.servers.postgresql import PostgresServer

#: Four threads, each of which changes another field of one row; prints what the row has at the end.
PROGRAM = """
import json, sys, threading

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="x",
    USE_TZ=True,
    INSTALLED_APPS=["channels", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.sessions", "tests.binding.apps.BoundConfig"],
    DATABASES={"default": json.loads(sys.argv[1])},
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.inmemory.ChannelLayer", "ROUTING": []}},
)
django.setup()

from django.core.management import call_command
from django.db import connection
from tests.binding.bindings import PostBinding
from tests.binding.models import Post
from channels.message import Message

call_command("migrate", run_syncdb=True, verbosity=0)
post = Post.objects.create(room="0", title="0", likes=0, extra=0)
VALUES = {"room": str, "title": str, "likes": int, "extra": int}
begin = threading.Barrier(len(VALUES))


def change(field):
    begin.wait()
    for number in range(1, 26):
        asked = {"action": "update", "pk": post.pk, "data": {field: VALUES[field](number)}}
        content = {"reply_channel": f"x!{field}", "text": json.dumps(asked)}
        PostBinding.consumer(Message(content, "websocket.receive", None))
    connection.close()


threads = [threading.Thread(target=change, args=[field]) for field in VALUES]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(Post.objects.values(*VALUES).get()))
"""


@pytest.mark.needs("postgres")
def test_clients_that_change_fields_of_one_row_do_not_undo_each_others_changes():
    with PostgresServer() as server:
        database = json.dumps(server.create_database("bound"))
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, database],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"room": "25", "title": "25", "likes": 25, "extra": 25}
