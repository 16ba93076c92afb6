"""Builds the documentation: `nox -s docs`. Strict: a warning is an error."""

import shutil
from importlib.metadata import version as version_of
from pathlib import Path

project = "Registry"
copyright = "the authors of the registry"  # noqa: A001 - the name that Sphinx reads
release = version_of("registry-core")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
nitpicky = False  # signatures name classes of the drivers, whose pages are not linked

# Pages link to headings by the names that forges give them.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

html_theme = "furo"
html_title = "Registry"
html_static_path = ["_static"]
html_theme_options = {"navigation_with_keys": True}

# A reader copies what is typed, and neither the prompt nor what is printed.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

# Docstrings mark code as Markdown does, with one backtick.
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
python_use_unqualified_type_names = True


def setup(app):
    """Pictures are named in HTML, which chooses the light or the dark one, and which Sphinx keeps."""
    app.connect("build-finished", _copy_pictures)


def _copy_pictures(app, error):
    if error is None:
        images = Path(app.srcdir) / "images"
        shutil.copytree(images, Path(app.outdir) / "images", dirs_exist_ok=True)
