"""Templates for snapshot tests of stacks. Imports aws_cdk only when a function is called."""

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aws_cdk import Stack

__all__ = ["masked_template"]

_HASH: Final = re.compile(r"[0-9a-f]{64}")


def masked_template(stack: "Stack") -> dict[str, Any]:
    """Return the stack's CloudFormation template with masked asset hashes, for a snapshot test.

    The same code and versions give the same template everywhere. What changes between versions without a meaning for
    the stack is the hash of an asset, such as the applier's package or CDK's provider framework: each is replaced by
    ``<asset hash>``, as is any other run of 64 hexadecimal digits. Everything else is unchanged.

    An app that has been synthesized cannot be changed: call this when all its stacks are complete.

    Args:
        stack: the stack; its app is synthesized.

    Returns:
        The template as a dictionary, as ``Template.from_stack(stack).to_json()`` returns it.
    """
    from aws_cdk.assertions import Template

    template: dict[str, Any] = json.loads(_HASH.sub("<asset hash>", json.dumps(Template.from_stack(stack).to_json())))
    return template
