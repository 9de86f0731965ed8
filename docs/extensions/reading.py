"""Has Django ready, so that every module can be imported and read.

Signatures name types that have no page: those of other packages, and those inside of this one. They
stand there without a link. What is missing of a module that has a page is told, as a typing error.
"""

from typing import Any

import django
from django.conf import settings
from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from channels import __version__

__all__ = ["setup"]

_APPS = [
    "channels",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels.delay",
]


def _unlinked(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: Element
) -> Element | None:
    if node.get("refdomain") != "py":
        return None
    module, _, name = node["reftarget"].rpartition(".")
    has_page = module in env.domains.python_domain.modules and not name.startswith("_")
    return None if has_page else shown


def setup(app: Sphinx) -> dict[str, Any]:
    """Set Django up, and take the version from the package."""
    if not settings.configured:
        settings.configure(INSTALLED_APPS=_APPS, STATIC_URL="/static/", SECRET_KEY="none")
        django.setup()

    app.config.version = app.config.release = __version__
    app.connect("missing-reference", _unlinked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
