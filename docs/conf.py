"""How the pages are built: `make docs`. Every warning is an error there."""

from importlib.metadata import version as version_of

project = "smshub"
copyright = "the smshub developers"
release = version = version_of("smshub")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["tutorial/*/*"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"smshub {release}"
html_show_copyright = False
html_copy_source = False
