"""A project in this process, whose modules are samples."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.test import override_settings

from channels.binding.base import BindingMetaclass
from tests.databases import rolled_back

__all__ = ["Project", "made_project"]


class Project:
    """Modules in a folder from which Python imports; what they leave is undone by ``stack``."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def write(self, module: str, *code: str) -> None:
        """Write a module and the packages above it; the parts of ``code`` one after the other."""
        path = self.folder.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for package in path.relative_to(self.folder).parents[:-1]:
            (self.folder / package / "__init__.py").touch()
        path.write_text("\n".join(code))
        importlib.invalidate_caches()

    def module(self, name: str, *code: str) -> ModuleType:
        """The imported module; where ``code`` is given, it is written before."""
        if code:
            self.write(name, *code)
        return importlib.import_module(name)

    def install(self, app: str) -> ModuleType:
        """Make ``app`` one of INSTALLED_APPS, and tables for its models; returns their module.

        From here on the test is in a transaction that is rolled back.
        """
        installed = [*settings.INSTALLED_APPS, app]
        self._stack.callback(_forget_bindings, len(BindingMetaclass.binding_classes))
        self._stack.callback(apps.clear_cache)
        self._stack.callback(apps.all_models.pop, app)
        self._stack.enter_context(override_settings(INSTALLED_APPS=installed))
        models = list(apps.get_app_config(app).get_models())
        self._change_tables("create_model", models)
        self._stack.callback(self._change_tables, "delete_model", models)
        self._stack.enter_context(rolled_back())
        return importlib.import_module(f"{app}.models")

    def _change_tables(self, change: str, models: list[Any]) -> None:
        with connection.schema_editor() as editor:
            for model in models:
                getattr(editor, change)(model)


def _forget_bindings(known: int) -> None:
    """Unregister the bindings that were made after the first ``known`` ones."""
    made = BindingMetaclass.binding_classes[known:]
    del BindingMetaclass.binding_classes[known:]
    for binding in made:
        binding.unregister()


@contextmanager
def made_project(folder: Path) -> Iterator[Project]:
    """A project in ``folder``; none of it stays imported."""
    path = list(sys.path)
    known = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        with ExitStack() as stack:
            yield Project(folder, stack)
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
