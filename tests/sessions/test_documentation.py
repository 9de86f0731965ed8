"""The samples of the documentation run."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.signals import user_logged_out

from channels.auth import close_sockets_on_logout

DOCS = Path(__file__).parents[2] / "docs"
SAMPLES = [
    (name, sample)
    for name in ("sessions", "security")
    for sample in re.findall(r"```python\n(.*?)```", (DOCS / f"{name}.md").read_text(), re.DOTALL)
]


@pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=lambda value: value[:20])
def test_it_runs(name, sample):
    try:
        exec(compile(sample, f"{name}.md", "exec"), {"__name__": "sample"})
    finally:
        user_logged_out.disconnect(close_sockets_on_logout)
