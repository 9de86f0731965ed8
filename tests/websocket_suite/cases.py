"""The cases of the Autobahn test suite, made to run on Python 3.

The suite is frozen on Python 2, and its cases are part of its source distribution, which pip
downloads; nothing of it is in this tree. Their sources are converted here by ``fissix``. What they
treat as strings of Python 2 stays text of one character for each octet; see ``octets``.
"""

import importlib
import re
import subprocess
import sys
import tarfile
import types
from pathlib import Path
from typing import Any

from fissix.refactor import RefactoringTool

from tests.websocket_suite.octets import octets

__all__ = ["Case", "load", "number"]

#: A case: a class that is told what its connection sees, and that says what the peer sends.
Case = Any

#: The release of the suite whose cases are run.
RELEASE = "autobahntestsuite==25.10.1"

#: What is different in Python 3, by the names of ``fissix``.
_FIXES = (
    *("basestring", "dict", "exec", "except", "filter", "has_key", "import", "long", "map", "ne"),
    *("print", "raise", "repr", "unicode", "xrange", "zip"),
)

#: What those do not see: patterns and what takes their place.
_EDITS = [
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in [
        (r"\A(.*\n)?.*coding=.*$", "#"),
        (r"^(\s*)from (case\w*) import", r"\1from .\2 import"),
        (r"\(\s*object,\s*Case,?\s*\)", "(Case,)"),
        (r"^import binascii$", "from tests.websocket_suite import octets as binascii"),
        (r"^from autobahn.*import Utf8Validator$", "from tests.websocket_suite.octets import *"),
        (r"^from zope.interface import implements$", "from zope.interface import implementer"),
        (r"^\s*implements\(.*$", ""),
        (r" / self\.p\.autoFragmentSize", " // self.p.autoFragmentSize"),
        (r"\brequestNoContextTakeover\b", "request_no_context_takeover"),
        (r"\brequestMaxWindowBits\b", "request_max_window_bits"),
        (r"\bacceptNoContextTakeover\b", "accept_no_context_takeover"),
        (r"\bacceptMaxWindowBits\b", "accept_max_window_bits"),
    ]
]


def load(folder: Path) -> list[Case]:
    """All cases in their order; they are downloaded and converted into ``folder``.

    Raises ``subprocess.CalledProcessError`` where pip cannot download them.
    """
    sources = _downloaded(folder) / "autobahntestsuite"
    _convert(sources / "case", folder / "suite_cases")
    resources = types.ModuleType("pkg_resources")
    resources.resource_filename = lambda package, path: str(sources / path)  # type: ignore[attr-defined]
    sys.modules["pkg_resources"] = resources
    sys.path.insert(0, str(folder))
    base = importlib.import_module("suite_cases.case").Case
    base.compare = lambda self, one, other: octets(one) == octets(other)
    cases: list[Case] = importlib.import_module("suite_cases").Cases
    return sorted(cases, key=lambda case: [int(part) for part in number(case).split(".")])


def number(case: Case) -> str:
    """The number of a case, such as 12.1.18."""
    return case.__name__.removeprefix("Case").replace("_", ".")


def _downloaded(folder: Path) -> Path:
    """The source distribution, unpacked."""
    arguments = ("download", "--quiet", "--no-deps", "--no-binary=:all:", "--no-build-isolation")
    subprocess.run(
        [sys.executable, "-m", "pip", *arguments, f"--dest={folder}", RELEASE],
        check=True,
        capture_output=True,
    )
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


def _convert(sources: Path, target: Path) -> None:
    target.mkdir()
    tool = RefactoringTool([f"fissix.fixes.fix_{name}" for name in _FIXES])
    for path in sources.glob("*.py"):
        text = path.read_text(encoding="latin-1")
        converted = str(tool.refactor_string(text.rstrip() + "\n", path.name))
        for pattern, replacement in _EDITS:
            converted = pattern.sub(replacement, converted)
        (target / path.name).write_text(converted, encoding="utf-8")
