"""The blocks of ``docs/scripts.md`` that know no Django, over a real Redis."""

import threading

import pytest

from channels.layers.redis import RedisChannelLayer
from tests.documentation.blocks import ROOT, blocks_of
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.compiled_only, pytest.mark.needs("redis-server")]

PUBLISH, ROOM, ASK = [
    block.code
    for block in blocks_of(ROOT / "docs/scripts.md")
    if block.note == "tests/documentation/test_scripts.py"
]


def test_a_script_without_django_sends_waits_for_room_and_asks(capsys):
    with RedisServer() as server:
        project = RedisChannelLayer(hosts=[server.url])
        project.group_add("room-lobby", "reader")
        names: dict[str, object] = {}
        exec(PUBLISH.replace("redis://localhost:6379/0", server.url), names)
        exec(ROOM, names)

        def answer():
            _, message = project.receive(["thumbnails"], block=True, timeout=20)
            project.send(message["reply_channel"], {"size": 1})

        photos = [project.receive(["thumbnails"])[1]["photo"] for _ in range(2)]
        answering = threading.Thread(target=answer)
        answering.start()
        exec(ASK, names)
        answering.join(20)

        assert photos == [7, 8]
        assert names["answer"] == {"size": 1}
        assert project.receive(["reader"]) == ("reader", {"text": "from outside"})
        assert capsys.readouterr().out == ""
