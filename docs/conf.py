"""Sphinx's configuration. Build with ``python -m sphinx -W --keep-going -n docs build/docs``."""

from importlib.metadata import version as _version

from sphinx.util.nodes import make_refnode

project = "cdk-pinsafe"
author = "the cdk-pinsafe maintainers"
version = release = _version("cdk-pinsafe")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.coverage", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"cdk-pinsafe {version}"
myst_heading_anchors = 3
# Pages link to files of the repository, which the built pages do not contain.
suppress_warnings = ["myst.xref_missing"]

default_role = "code"
autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Types of other packages, which publish no inventory that is available offline.
nitpick_ignore_regex = [
    ("py:.*", r"(aws_cdk|constructs|jsii|Construct|IConstruct|Stack|Token|cloudwatch)\b.*"),
    ("py:.*", r"(typing|collections|asyncio|datetime|enum|pathlib|contextlib|re|ssl)\b.*"),
]
coverage_show_missing_items = True


def resolve_by_last_name(app, env, node, contnode):
    """Let a docstring write `DatabaseSettings` for the one documented object whose qualified name ends so."""
    domain = env.domains["py"]
    found = domain.find_obj(env, None, None, node.get("reftarget", ""), None, searchmode=1)
    if node.get("refdomain") != "py" or len(found) != 1:
        return None
    [(name, entry)] = found
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)


def setup(app):
    app.connect("missing-reference", resolve_by_last_name)
