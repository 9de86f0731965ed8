"""The names of the package, and what importing it costs."""

import importlib
import subprocess
import sys

import pytest

from channels import test


@pytest.mark.filterwarnings("ignore:.*HttpClient is now:DeprecationWarning")
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


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("channels.tests", "channels.tests is now channels.test; change the import"),
        (
            "channels.test.http",
            "channels.test.http.HttpClient is now channels.test.WSClient; change the import",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.* is now channels.test:DeprecationWarning")
def test_old_names_are_the_new_ones_with_a_warning(module, said):
    old = importlib.import_module(module)
    assert old.HttpClient is test.WSClient
    for name in set(old.__all__) - {"HttpClient"}:
        assert getattr(old, name) is getattr(test, name)

    command = [sys.executable, "-W", "default", "-c", f"import {module}"]
    result = subprocess.run(command, capture_output=True, text=True)
    # with the line that is to be changed
    assert f"<string>:1: DeprecationWarning: {said}" in result.stderr


def test_http_client_is_found_in_the_package():
    with pytest.warns(DeprecationWarning):
        sys.modules.pop("channels.test.http", None)
        vars(test).pop("HttpClient", None)
        assert test.HttpClient is test.WSClient
