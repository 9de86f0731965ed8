"""The system checks say what is wrong and what to do, and nothing where there are no layers."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.test import override_settings

from channels.checks import check_app_order, check_channel_layers, check_distributions

GOOD = {
    "BACKEND": "channels.layers.inmemory.ChannelLayer",
    "ROUTING": "tests.routing.channel_routing",
}


def layers_found(config: Any) -> list[Any]:
    """What the check says of a default layer."""
    with override_settings(CHANNEL_LAYERS={"default": config}):
        return list(check_channel_layers(None))


def without(key: str) -> dict[str, str]:
    return {name: value for name, value in GOOD.items() if name != key}


def test_a_project_in_order_passes() -> None:
    call_command("check", fail_level="WARNING")
    assert layers_found(GOOD) == []


def test_the_checks_are_registered_by_their_tag() -> None:
    with override_settings(CHANNEL_LAYERS={"default": {}}):
        found = checks.run_checks(tags=["channels"])
    assert {message.id for message in found} == {"channels.E003", "channels.E004"}


@pytest.mark.parametrize(
    ("config", "number", "text"),
    [
        (without("BACKEND"), "E003", "CHANNEL_LAYERS['default'] has no BACKEND."),
        (without("ROUTING"), "E004", "CHANNEL_LAYERS['default'] has no ROUTING."),
        (GOOD | {"BACKEND": "no.such.Layer"}, "E005", "Cannot import BACKEND 'no.such.Layer'"),
        (GOOD | {"BACKEND": 5}, "E005", "must be a dotted path in a str, not 5"),
        (GOOD | {"ROUTING": "no.such.routing"}, "E006", "Cannot import routing 'no.such.routing'"),
        (GOOD | {"ROUTING": 5}, "E006", "a routing must be a list of routes"),
        (GOOD | {"ROUTING": {"task": "no.such.consumer"}}, "E006", "Cannot import consumer"),
        ("no dict", "E002", "CHANNEL_LAYERS['default'] is a str, not a dict."),
    ],
)
def test_a_wrong_layer_is_an_error_with_a_hint(config: Any, number: str, text: str) -> None:
    (error,) = layers_found(config)
    assert error.id == f"channels.{number}"
    assert error.level == checks.ERROR
    assert text in error.msg
    assert error.hint


def test_every_fault_of_every_layer_is_told() -> None:
    with override_settings(CHANNEL_LAYERS={"one": {}, "two": {"BACKEND": 5, "ROUTING": []}}):
        found = check_channel_layers(None)
    assert [error.id for error in found] == ["channels.E003", "channels.E004", "channels.E005"]


def test_a_setting_that_is_no_dict_is_an_error() -> None:
    with override_settings(CHANNEL_LAYERS=["default"]):
        (error,) = check_channel_layers(None)
    assert (error.id, error.msg) == ("channels.E002", "CHANNEL_LAYERS is a list, not a dict.")


def test_channels_after_static_files_is_a_warning_that_names_the_remedy() -> None:
    apps = ["django.contrib.contenttypes", "django.contrib.staticfiles", "channels"]
    with override_settings(INSTALLED_APPS=apps):
        (warning,) = check_app_order(None)
    assert warning.id == "channels.W001"
    assert warning.level == checks.WARNING
    assert "Move 'channels' above 'django.contrib.staticfiles'" in warning.hint


@pytest.mark.parametrize(
    "apps",
    [["channels", "django.contrib.staticfiles"], ["channels"], ["django.contrib.staticfiles"]],
)
def test_other_orders_are_fine(apps: list[str]) -> None:
    with override_settings(INSTALLED_APPS=apps):
        assert check_app_order(None) == []


def install_old_daphne(site: Path) -> None:
    """Another distribution that owns ``daphne``."""
    folder = site / "daphne-4.1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: daphne\nVersion: 4.1.2\n")
    (folder / "RECORD").write_text("daphne/__init__.py,sha256=x,1\n")


@pytest.fixture
def old_daphne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is installed beside ours."""
    install_old_daphne(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("old_daphne")
def test_another_owner_of_our_names_is_an_error_that_names_the_remedy() -> None:
    found = [error for error in check_distributions(None) if "'daphne' 4.1.2" in error.msg]
    assert [error.id for error in found] == ["channels.E001"]
    assert "pip uninstall daphne" in found[0].hint


@pytest.mark.usefixtures("old_daphne")
@pytest.mark.parametrize("setting", [{}, None])
def test_without_layers_no_check_fires(setting: Any) -> None:
    apps = ["django.contrib.contenttypes", "django.contrib.staticfiles", "channels"]
    with override_settings(CHANNEL_LAYERS=setting, INSTALLED_APPS=apps):
        assert checks.run_checks(tags=["channels"]) == []


@pytest.mark.parametrize(
    ("setting", "value", "number", "text"),
    [
        ("CHANNELS_ORIGIN_CHECK", 7, "E007", "not 7."),
        ("CHANNELS_ORIGIN_CHECK", "", "E007", "cannot be imported"),
        ("CHANNELS_ORIGIN_CHECK", ["a.b"], "E007", "must be True, False or the dotted path"),
        ("CHANNELS_ORIGIN_CHECK", "no.such.Validator", "E007", "No module named 'no'"),
        ("CHANNELS_ORIGIN_CHECK", "channels.message.Message", "E007", "subclass of BaseOrigin"),
        ("CHANNELS_TRUSTED_ORIGINS", "https://a.example", "E008", "not 'https://a.example'"),
        ("CHANNELS_TRUSTED_ORIGINS", 7, "E008", "must be a list of origins, not 7"),
        ("CHANNELS_TRUSTED_ORIGINS", ["https://a.example", "b.example"], "E008", "'b.example' in"),
        ("CHANNELS_TRUSTED_ORIGINS", ["https://a.example/"], "E008", "'https://a.example/' in"),
        ("CHANNELS_TRUSTED_ORIGINS", [None], "E008", "None in CHANNELS_TRUSTED_ORIGINS is no"),
    ],
)
def test_a_wrong_setting_of_the_origins_is_an_error_that_names_its_value_and_the_remedy(
    setting: str, value: Any, number: str, text: str
) -> None:
    with override_settings(**{setting: value}):
        (error,) = checks.run_checks(tags=["channels"])
    assert (error.id, error.level) == (f"channels.{number}", checks.ERROR)
    assert error.msg.count(setting) == 1
    assert text in error.msg
    assert error.hint


@pytest.mark.parametrize(
    "values",
    [
        {"CHANNELS_ORIGIN_CHECK": True, "CHANNELS_TRUSTED_ORIGINS": ("https://*.a.example:8443",)},
        {"CHANNELS_ORIGIN_CHECK": False, "CHANNELS_TRUSTED_ORIGINS": []},
        {"CHANNELS_ORIGIN_CHECK": None, "CHANNELS_TRUSTED_ORIGINS": None},
        {"CHANNELS_ORIGIN_CHECK": "channels.security.websockets.AllowedHostsOnlyOriginValidator"},
        {"CHANNELS_ORIGIN_CHECK": 7, "CHANNEL_LAYERS": {}},
    ],
)
def test_other_settings_of_the_origins_are_fine(values: dict[str, Any]) -> None:
    with override_settings(**values):
        assert checks.run_checks(tags=["channels"]) == []


# The same in whole projects

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in which ``channels`` stands after the static files."""
    (tmp_path / "manage.py").write_text(MANAGE)
    (tmp_path / "settings.py").write_text(
        'INSTALLED_APPS = ["django.contrib.staticfiles", "channels"]\nSTATIC_URL = "/static/"\n'
    )
    return tmp_path


def manage_check(project: Path, layers: Any, *options: str) -> subprocess.CompletedProcess[str]:
    """What ``manage.py check`` says of it with those CHANNEL_LAYERS."""
    with (project / "settings.py").open("a") as settings:
        settings.write(f"CHANNEL_LAYERS = {layers!r}\n")
    path = f"{project}{os.pathsep}{Path(__file__).parent.parent}"
    return subprocess.run(
        [sys.executable, "manage.py", "check", *options],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_manage_py_check_tells_every_error_and_its_remedy(project: Path) -> None:
    # Given a project with another Daphne beside ours and two wrong layers
    install_old_daphne(project)
    layers = {
        "default": {"BACKEND": "no.such.Layer", "ROUTING": "no.such.routing"},
        "other": {"BACKEND": "channels.DEFAULT_CHANNEL_LAYER"},
    }
    # When it is checked
    result = manage_check(project, layers)
    # Then each fault is told with what to do
    assert result.returncode == 1
    for text in (
        "(channels.E001) The distribution 'daphne' 4.1.2 is installed beside",
        "HINT: Run: pip uninstall daphne; pip install --force-reinstall",
        "(channels.E004) CHANNEL_LAYERS['other'] has no ROUTING.",
        "(channels.E005) Cannot import BACKEND 'no.such.Layer' of CHANNEL_LAYERS['default']: No mo",
        "(channels.E005) BACKEND 'channels.DEFAULT_CHANNEL_LAYER' of CHANNEL_LAYERS['other'] is no",
        "(channels.E006) ROUTING of CHANNEL_LAYERS['default'] cannot be used: Cannot import",
        "(channels.W001) 'channels' stands after 'django.contrib.staticfiles' in INSTALLED_APPS",
    ):
        assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_manage_py_check_passes_with_the_warning_of_the_order(project: Path) -> None:
    layers = {"default": {"BACKEND": GOOD["BACKEND"], "ROUTING": []}}
    result = manage_check(project, layers)
    assert result.returncode == 0, result.stderr
    assert "(channels.W001)" in result.stderr
    assert "HINT: Move 'channels' above 'django.contrib.staticfiles'" in result.stderr
    assert manage_check(project, layers, "--fail-level", "WARNING").returncode == 1


def test_manage_py_check_says_nothing_of_a_project_without_layers(project: Path) -> None:
    install_old_daphne(project)
    result = manage_check(project, {}, "--fail-level", "WARNING")
    assert (result.returncode, result.stderr) == (0, "")
