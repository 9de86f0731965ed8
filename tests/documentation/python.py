"""Runs the Python of a page: its files make a project, everything else shares one namespace."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from django.test import override_settings

from channels.asgi import import_backend
from tests.documentation.blocks import Block
from tests.documented.project import Project

__all__ = ["PythonPage", "parse_fragment"]

#: What a project of ``startproject`` has before the settings of a page are added.
_SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).parent.parent
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.staticfiles"]
MIDDLEWARE = []
CHANNEL_LAYERS = {"default": {}}
"""


class PythonPage:
    """What the blocks of a page have made so far."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._files: dict[str, str] = {}
        self.names: dict[str, Any] = {"__name__": "sample", "project": project}

    def run(self, block: Block) -> None:
        """Run a block, as a file of the project if it names one."""
        code = "\n" * block.line + block.code  # so that errors name the lines of the page
        if block.file is not None and not block.is_hidden:
            self._run_file(block.file, block)
        else:
            exec(compile(code, str(block.page), "exec"), self.names)
            check_settings(self.names)

    def _run_file(self, file: str, block: Block) -> None:
        """Add to a file, and import what it is then."""
        before = _SETTINGS if file.endswith("settings.py") else ""
        self._files[file] = self._files.get(file, before) + "\n" + block.code
        module = file.removesuffix(".py").replace("/", ".")
        self._project.write(module, self._files[file])
        sys.modules.pop(module, None)
        if module.endswith(".models"):
            self._project.install(module.removesuffix(".models"))
            return
        check_settings(vars(self._project.module(module)))


def parse_fragment(block: Block) -> None:
    """Parse a part of a file: statements, lines of a function, or entries of a dict."""
    code = textwrap.dedent(block.code)
    for form in ("{}", "def function():\n{}", "class Class:\n{}", "{{{}}}"):
        body = textwrap.indent(code, "    ") if form.endswith("\n{}") else code
        try:
            tree = ast.parse(form.format(body))
        except SyntaxError:
            continue
        _check_entries(tree)
        return
    raise AssertionError(f"{block.place}: no Python in whatever place")


def _check_entries(tree: ast.Module) -> None:
    """Look at entries of CHANNEL_LAYERS; what is computed in them counts as text."""
    if isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Dict):
        entries = {
            ast.literal_eval(key): _constant(value)
            for key, value in zip(tree.body[0].value.keys, tree.body[0].value.values, strict=True)
            if key is not None
        }
        if "BACKEND" in entries:
            check_layer("default", {"ROUTING": [], **entries})


def _constant(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict):
        return {
            ast.literal_eval(key): _constant(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def check_settings(names: Mapping[str, Any]) -> None:
    """Look at the layers of settings; Django takes the others."""
    for alias, layer in names.get("CHANNEL_LAYERS", {}).items():
        if layer:
            check_layer(alias, layer)
    settings = {name: value for name, value in names.items() if name.startswith("CHANNEL")}
    if settings:
        with override_settings(**settings):
            pass


def check_layer(alias: str, layer: Mapping[str, Any]) -> None:
    """Fail for a layer that there is not, or that does not take these arguments."""
    assert {"BACKEND", "ROUTING"} <= set(layer) <= {"BACKEND", "ROUTING", "CONFIG", "TEST_CONFIG"}
    backend = import_backend(alias, layer["BACKEND"])
    for arguments in ("CONFIG", "TEST_CONFIG"):
        if arguments in layer:
            inspect.signature(backend).bind(**layer[arguments])
