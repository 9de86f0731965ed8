"""The blocks of each page, in their order."""

import re
from collections import Counter
from pathlib import Path

import pytest
from django.contrib.auth.signals import user_logged_out

from channels.auth import close_sockets_on_logout
from channels.test.layers import captive_layers
from tests.databases import made_databases
from tests.documentation import languages
from tests.documentation.blocks import PAGES, REASONS, ROOT, Block, blocks_of
from tests.documentation.python import PythonPage, parse_fragment
from tests.documented.project import made_project

pytestmark = pytest.mark.compiled_only  # what it runs has tests of its own

#: Blocks that are not run, at most: a page that needs more of them is to be written otherwise.
MOST = {"fragment": 12, "machine": 30}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module", autouse=True)
def tables():
    with made_databases():
        yield


@pytest.fixture
def project(tmp_path):
    """An empty project on a captive layer; what pages connect to signals of Django ends with it."""
    with captive_layers(["default"]), made_project(tmp_path) as project:
        yield project
    user_logged_out.disconnect(close_sockets_on_logout)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_all_blocks_run(page, project, tmp_path):
    python = PythonPage(project)
    for block in blocks_of(page):
        run(block, python, tmp_path)


def run(block: Block, python: PythonPage, folder: Path) -> None:
    """Do with a block what its language and its note say."""
    if block.note.startswith("tests/"):
        assert block.page.name in (ROOT / block.note).read_text(), f"{block.place}: {block.note}"
    elif block.note in ("output", "drawing"):
        assert block.language in ("", "text", "console"), f"{block.place}: {block.note}?"
    elif block.note not in ("", *REASONS):
        pytest.fail(f"{block.place}: {block.note!r} is no reason; these are: {', '.join(REASONS)}")
    elif block.language != "python":
        languages.check(block, folder)
    elif block.note == "fragment":
        parse_fragment(block)
    else:
        python.run(block)


def test_few_blocks_are_not_run():
    notes = Counter(block.note for page in PAGES for block in blocks_of(page))
    for reason, most in MOST.items():
        assert notes[reason] <= most, reason


def test_every_test_that_is_named_is_there_and_every_comment_is_understood():
    for page in PAGES:
        written = len(re.findall("<!-- test:", page.read_text()))
        blocks = list(blocks_of(page))
        understood = [block for block in blocks if block.note or block.is_hidden]
        assert len(understood) == written, f"{name_of(page)}: a comment belongs to no block"


@pytest.mark.parametrize(
    ("language", "code", "note"),
    [
        ("", "a block", ""),
        ("cobol", "STOP RUN.", ""),
        ("python", "send_later()", ""),
        ("python", "def", "fragment"),
        ("python", "1", "because"),
        ("python", "1", "output"),
        ("python", "1", "tests/test_names.py"),
        ("python", 'CHANNEL_LAYERS = {"a": {"BACKEND": "a.B", "ROUTING": []}}', ""),
        (
            "python",
            '"BACKEND": "channels.layers.ipc.IPCChannelLayer", "CONFIG": {"url": ""}',
            "fragment",
        ),
        ("sh", "daphne --no-such-option mysite.asgi:channel_layer", ""),
        ("sh", "python manage.py runworker --thread", ""),
        ("sh", "python manage.py runwork", ""),
        ("sh", "make nothing", ""),
        ("sh", "rm -r /", ""),
        ("sh", "echo 'unclosed", "machine"),
        ("toml", "bind = ", ""),
        ("toml", '# daphne.toml\nchannel_layer = "a:b"\nprot = 1', ""),
        ("ini", "key", ""),
        ("json", "{'a': 1}", ""),
        ("js", "const const", ""),
        ("html", "<p>{% nothing %}</p>", ""),
        ("html", "<script>const const</script>", ""),
    ],
)
def test_a_block_that_is_wrong_fails(language, code, note, project, tmp_path):
    block = Block(ROOT / "docs/index.md", 1, language, code, note)
    with pytest.raises((Exception, pytest.fail.Exception)):
        run(block, PythonPage(project), tmp_path)


def test_a_fence_without_a_test_is_found_wherever_it_stands(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- test: output -->\n```\none\n```\n\n- item\n\n  ```python\n  two\n  ```\n\n"
        "<!-- test:\nthree\n-->\n\n    four\n\n> ```\n> five\n> ```\n\n```{toctree}\nsix\n```\n"
    )
    found = [(block.code.strip(), block.note, block.is_hidden) for block in blocks_of(page)]
    assert found == [
        *(("one", "output", False), ("two", "", False), ("three", "", True)),
        *(("four", "", False), ("five", "", False)),
    ]
