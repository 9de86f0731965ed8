"""The names of the package, and what importing it costs."""

import subprocess
import sys

import pytest

from channels import test


def test_every_name_is_there():
    assert {name for name in test.__all__ if getattr(test, name) is None} == set()
    assert set(test.__all__) <= set(dir(test))


def test_an_unknown_name_is_named():
    with pytest.raises(AttributeError, match="'channels.test' has no attribute 'Cleint'"):
        test.Cleint  # noqa: B018


def test_importing_it_loads_no_django():
    program = "import channels.test, sys; print('django' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert printed.stdout == "False\n", printed.stderr
