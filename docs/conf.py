"""How Sphinx builds the site: `sphinx-build -W -b html docs docs/_build/html`.

Nothing is read from the network, when the site is built or when it is read.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions")]

import keras_align  # noqa: E402

project = "keras_align"
author = "The keras_align authors"
copyright = "The keras_align authors, Apache-2.0"
release = version = keras_align.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "keras_docstrings",
    "mathematics",
    "repository_links",
]
exclude_patterns = ["_build", "_extensions", "**/.ipynb_checkpoints"]

# Pages: MyST, with $formulas$; notebooks are shown with the outputs they hold.
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"

# Docstrings: Keras's style, with single backticks for code.
default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    ("Class attributes", "params_style"),
]
python_use_unqualified_type_names = True

# Links to names that are not documented are warnings, but for the types of fields.
nitpicky = True
nitpick_ignore = [
    ("py:class", "numpy.ndarray"),
    ("py:class", "keras_align.matching.change.Change"),
    ("py:class", "keras_align.reports.answers.Answers"),
]

html_theme = "furo"
html_title = "keras_align"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_domain_indices = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "default"
pygments_dark_style = "github-dark"

# Of examples: addresses on the reader's own machine.
linkcheck_ignore = [r"http://localhost.*"]
