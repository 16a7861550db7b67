"""Client configuration that pins sessions, or that RDS Proxy refuses.

A rule stands in one place: its finder, and its row with examples of what it finds and what it leaves alone. What the
client sends, the evidence and the usual remedy come from :mod:`cdk_pinsafe.pinning.clients`. A finder reports only what
the file shows: a value that comes from elsewhere (a variable, a spread) is not reported.

To add a rule, add it to the module of its language.
"""

from typing import Final

from . import configuration, java, javascript, python
from .rule import ClientRule

__all__ = ["CLIENT_RULES", "ClientRule"]

CLIENT_RULES: Final[tuple[ClientRule, ...]] = (
    *configuration.RULES,
    *javascript.RULES,
    *java.RULES,
    *python.RULES,
)
