"""Help for tests: of stacks that use the constructs, and of applications that run behind RDS Proxy.

- `masked_template` is for snapshot tests of stacks.
- `plugin` is a pytest plugin, there wherever this package is installed: a test that pins a session fails, and says by
  which statement. Its docstring says how to use it, and its limits. `WatchedProxy` is what its fixture gives.

Importing this is cheap: neither aws_cdk nor anything of an extra is imported before it is used.
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
