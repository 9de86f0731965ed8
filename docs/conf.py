"""The site of the documentation: ``make docs`` builds it into ``build/docs``.

What is not configuration is in ``docs/extensions``. Nothing is fetched from elsewhere.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

project = "channels-batteries"
author = "The channels-batteries developers"
copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "extensions.reading",
    "extensions.repository",
    "extensions.tables",
]
smartquotes = False  # quotes are code more often than not
exclude_patterns = ["requirements.txt", "plots"]
source_suffix = {".md": "markdown"}
nitpicky = True
# Anchors as readers of the repository have them: of every heading, made of its words.
myst_heading_anchors = 4
myst_links_external_new_tab = False

# The docstrings say what they mean in reStructuredText; types stand in the signatures.
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"
# Variables of types.
nitpick_ignore_regex = [(r"py:.*", r"(.*\.)?[A-Z]")]

html_theme = "furo"
html_title = "channels-batteries"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "github-dark"
highlight_language = "none"
