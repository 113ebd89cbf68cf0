"""Sphinx's configuration; docs/site/build.py runs it on a copy of docs/ with what it has added."""

from pygments.lexers.special import TextLexer

from clipiqa_pyiqa import __version__

project = "clipiqa-pyiqa"
version = release = __version__
copyright = "the clipiqa-pyiqa developers, MIT licence"
smartquotes = False  # two hyphens are the beginning of an option
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["site"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"clipiqa-pyiqa {__version__}"
html_favicon = "web/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = html_copy_source = html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
pygments_style, pygments_dark_style = "default", "github-dark"


def setup(app):  # Pygments has no lexer for tables of numbers
    app.add_lexer("csv", TextLexer)
