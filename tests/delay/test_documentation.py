"""The code of ``docs/delay.md`` does what it says there."""

import re
from pathlib import Path

import pytest

from channels.delay.models import DelayedMessage

TEXT = (Path(__file__).parents[2] / "docs/delay.md").read_text()


#: The blocks of code that are marked with this test.
SEND_LATER, PROTOCOL = re.findall(
    r"<!-- test: tests/delay/test_documentation.py -->\n```python\n(.*?)```", TEXT, re.DOTALL
)


def test_send_later(run, layer):
    run()
    first, cancelling = SEND_LATER.split("cancel(key)")

    names: dict[str, object] = {}
    exec(first, names)
    assert layer.receive(["reminders"], block=True, timeout=20) == (
        *("reminders", {"user": 3, "photo": b"\xff\xd8"}),
    )
    exec(first.replace("=500", "=500_000") + "assert cancel(key)" + cancelling, names)

    assert not DelayedMessage.objects.exclude(due_date__lte=0).filter(pk=names["key"]).exists()


def test_protocol(run, layer, stored):
    run()

    exec(PROTOCOL.replace("10 * 1000", "10"), {})

    assert layer.receive(["reminders"], block=True, timeout=20)[1] == {"user": 3}


@pytest.mark.parametrize("option", ["--layer", "--threads", "--sleep"])
def test_options_are_told(option):
    assert f"`{option} " in TEXT
