"""How the pages are built: `make docs`. Every warning is an error there."""

from importlib.metadata import version as version_of

project = "smshub"
copyright = "the smshub developers"
release = version = version_of("smshub")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["tutorial/*/*"]
nitpicky = True
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(collections\.abc|trio|ssl|random|sqlalchemy|msgspec)\..*",
    ),  # others': nothing is fetched
    ("py:.*", r"smpp\.(pdu|constants)\..*"),  # tables of their own
    ("py:.*", r"(store\.store\.)?(T|Backend|Role)"),  # a type variable; what is not for others
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

napoleon_use_rtype = False
napoleon_custom_sections = ["Cancellation", "Source", ("Attributes", "params_style")]
autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"smshub {release}"
html_show_copyright = False
html_copy_source = False


def _keep_sentences(app, what, name, obj, options, lines):  # type: ignore[no-untyped-def]
    """Napoleon takes what stands before a colon in a value's docstring for its type; here it is a sentence."""
    if what in ("attribute", "data", "property") and lines:
        lines[0] = lines[0].replace(": ", " \N{EN DASH} ", 1)


def setup(app):  # type: ignore[no-untyped-def]
    """Register what is above."""
    app.connect("autodoc-process-docstring", _keep_sentences, priority=100)
