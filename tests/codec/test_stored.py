"""Stored bytes: which the codec decodes, which it refuses, and which it will always write."""

import ast
import re
from pathlib import Path

import pytest

from channels.exceptions import InvalidStoredMessage
from tests.codec.damaged import REFUSED
from tests.golden.messages import ENVELOPES, MESSAGES
from tests.golden.write import FOLDER, in_lines


@pytest.mark.parametrize(("stored", "reason"), REFUSED.values(), ids=REFUSED)
def test_stored_bytes_that_are_no_message_are_refused(codec, stored, reason):
    with pytest.raises(InvalidStoredMessage) as caught:
        codec.decode(stored)
    assert str(caught.value).startswith(f"the stored bytes are no message: {reason}")
    assert caught.value.__cause__ is None


#: Modules whose loaders run what the bytes say.
_EXECUTING = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "jsonpickle",
}


def test_no_code_execution_from_stored_bytes_nothing_loads_pickles():
    root = Path(__file__).parents[2]
    tops = ("channels", "daphne", "delay", "_speedups")
    sources = [path for top in tops for path in (root / top).rglob("*.p*")]
    assert len(sources) > 100
    for path in sources:
        if path.is_relative_to(root / "channels/test"):
            continue  # the live test case hands settings to its own child processes
        if path.suffix == ".py":
            imported = {
                name.partition(".")[0]
                for node in ast.walk(ast.parse(path.read_text()))
                for name in _imported(node)
            }
            assert not imported & _EXECUTING, path
        elif path.suffix in (".pyx", ".pxi"):
            assert not re.search(r"import +(c?pickle|marshal)", path.read_text()), path


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_every_cut_of_a_message_is_refused(codec):
    stored = codec.encode(MESSAGES["http.request"])
    for size in range(len(stored)):
        with pytest.raises(InvalidStoredMessage):
            codec.decode(stored[:size])


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"\x81\xa1a\xcf\x00\x00\x00\x00\x00\x00\x00\x01", {"a": 1}),
        (b"\x81\xa1a\xd0\x01", {"a": 1}),
        (b"\x81\xa1a\xd3\xff\xff\xff\xff\xff\xff\xff\xff", {"a": -1}),
        (b"\x81\xa1a\xd1\x00\x01", {"a": 1}),
        (b"\x81\xa1a\xd2\x80\x00\x00\x00", {"a": -(2**31)}),
        (b"\x81\xa1a\xca\x3f\xc0\x00\x00", {"a": 1.5}),
        (b"\x81\xd9\x01a\xda\x00\x01b", {"a": "b"}),
        (b"\x81\xdb\x00\x00\x00\x01a\xc6\x00\x00\x00\x01b", {"a": b"b"}),
        (b"\xde\x00\x01\xa1a\xdc\x00\x01\xc0", {"a": [None]}),
        (b"\xdf\x00\x00\x00\x01\xa1a\xdd\x00\x00\x00\x00", {"a": []}),
        (b"\x81\xa1a\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", {"a": 2**63 - 1}),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_other_writers_may_use_longer_forms(codec, stored, message):
    assert codec.decode(stored) == message


@pytest.mark.parametrize("form", [bytearray, memoryview], ids=lambda form: form.__name__)
def test_any_buffer_is_decoded(codec, form):
    assert codec.decode(form(b"\x81\xa1a\x01")) == {"a": 1}
    packed = codec.pack_envelope(b"\x80", 7, ["x"])
    assert codec.unpack_envelope(form(packed)) == (7, ("x",), b"\x80")


@pytest.mark.parametrize("data", ["text", None, 5, {}], ids=repr)
def test_what_has_no_buffer_is_a_type_error(codec, data):
    with pytest.raises(TypeError, match="bytes-like"):
        codec.decode(data)
    with pytest.raises(TypeError, match="bytes-like"):
        codec.unpack_envelope(data)


# --- Bytes that stay


def in_folder(kind, name):
    return (FOLDER / kind / f"{name}.hex").read_text(encoding="ascii")


@pytest.mark.parametrize("name", MESSAGES)
def test_stored_messages_keep_their_bytes(codec, name):
    encoded = codec.encode(MESSAGES[name])
    assert in_lines(encoded) == in_folder("messages", name), "new bytes need a new VERSION"
    assert codec.encode(codec.decode(encoded)) == encoded


@pytest.mark.parametrize("name", ENVELOPES)
def test_stored_envelopes_keep_their_bytes(codec, name):
    body, deadline_ms, targets = ENVELOPES[name]
    packed = codec.pack_envelope(body, deadline_ms, targets)
    assert in_lines(packed) == in_folder("envelopes", name), "new bytes need a new VERSION"
    assert codec.unpack_envelope(packed) == (deadline_ms, targets, body)


def test_every_golden_file_is_looked_at():
    stored = {path.relative_to(FOLDER) for path in FOLDER.rglob("*.hex")}
    known = {Path("messages") / f"{name}.hex" for name in MESSAGES}
    known |= {Path("envelopes") / f"{name}.hex" for name in ENVELOPES}
    assert stored == known


def test_the_example_in_the_documentation_holds():
    page = (FOLDER.parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
    namespace = {}
    exec(page.partition("```python\n")[2].partition("```")[0], namespace)
    dump = re.search(r"```\n(01 +version 1\n.*?)```", page, re.DOTALL)[1]
    pairs = [re.match(r"(?:[0-9a-f]{2} )*[0-9a-f]{2}\b", line)[0] for line in dump.splitlines()]
    assert bytes.fromhex("".join(pairs)) == namespace["stored"]
