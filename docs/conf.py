"""How Sphinx builds these pages: ``nox -s docs``."""

from __future__ import annotations

from gproc import __version__

project = "Gproc"
copyright = "the Gproc authors"  # noqa: A001 - Sphinx's name for it
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "Gproc"

# Docstrings are written to be read in an editor: `name` is a name, and most are not objects with a page of their own.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Links between pages must lead somewhere; types of the standard library have no page here.
nitpick_ignore_regex = [("py:.*", ".*")]
