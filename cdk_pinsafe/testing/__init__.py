"""Helpers for users' tests: of stacks that use the constructs, and of applications behind RDS Proxy.

- `masked_template` is for snapshot tests of stacks.
- `plugin` is a pytest plugin, active wherever this package is installed: a test that pins a session fails, with the
  statement that pinned. Its docstring describes usage and limits. `WatchedProxy` is the value of its fixture.

Importing this package is cheap: aws_cdk and the packages of the extras are imported on first use.
"""

from typing import TYPE_CHECKING

from .templates import masked_template

if TYPE_CHECKING:
    from .proxy import WatchedProxy

__all__ = ["WatchedProxy", "masked_template"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "WatchedProxy":
            from .proxy import WatchedProxy

            return WatchedProxy
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
