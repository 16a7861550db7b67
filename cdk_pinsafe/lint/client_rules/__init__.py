"""Client configuration that pins sessions, or that RDS Proxy refuses.

A rule is in one place: its finder, and its row with examples that it finds and similar ones that it does not. The
evidence, the sources and the usual remedy come from :mod:`cdk_pinsafe.pinning.clients`. A finder reports only what the
file shows: a value that comes from elsewhere (a variable, a spread) is not reported.

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
