"""The files of ``docs/testing.md``, copied as they stand, make a project whose tests pass."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

#: The Python blocks by the file that their first line names.
FILES = dict(
    re.findall(r"```python\n# (\S+)\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL)
)

pytestmark = pytest.mark.needs("redis-server", "chromium", "chromedriver")

#: What a project has besides.
GIVEN = {
    "mysite/__init__.py": "",
    "mysite/settings.py": """
SECRET_KEY = "x"
ROOT_URLCONF = "mysite.urls"
INSTALLED_APPS = [
    "channels",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
""",
    "mysite/urls.py": '''
from django.http import HttpResponse
from django.urls import path

PAGE = """<script>
const url = `ws://${location.host}/rooms/${new URLSearchParams(location.search).get("room")}/`;
const socket = new WebSocket(url);
socket.onopen = () => { document.body.id = "open" };
socket.onmessage = event => { document.body.append(event.data) };
</script><body></body>"""

urlpatterns = [path("", lambda request: HttpResponse(PAGE))]
''',
    "mysite/browsers.py": """
import contextlib, pathlib, tempfile
from tests.browsers import headless_chromium

@contextlib.contextmanager
def Browser():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with headless_chromium(pathlib.Path(folder)) as driver:
            yield driver
""",
    "conftest.py": """
import pytest
from websockets.sync.client import connect

@pytest.fixture
def live_socket():
    return connect
""",
    "pytest.ini": "[pytest]\npythonpath = .\n",
}


def run_tests(folder: Path, redis_url: str, *command: str) -> str:
    """Run the tests of the project; they have to pass."""
    for name in GIVEN | FILES:
        text = GIVEN.get(name, "") + FILES.get(name, "")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text.replace("redis://127.0.0.1:6379/0", redis_url))
    result = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "mysite.settings",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert not (folder / "mysite" / "testdb.sqlite3").exists()
    return result.stdout + result.stderr


def test_its_test_cases_pass(redis_server, tmp_path):
    assert "Ran 5 tests" in run_tests(tmp_path, redis_server.url, "django", "test", "mysite")


@pytest.mark.slow  # its test cases are run by themselves as well
def test_all_its_tests_pass_under_pytest(redis_server, tmp_path):
    assert "9 passed" in run_tests(tmp_path, redis_server.url, "pytest", "-p", "no:cacheprovider")
