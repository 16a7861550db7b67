"""Templates for snapshot tests of stacks. It must not import aws_cdk before a function is called."""

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aws_cdk import Stack

__all__ = ["masked_template"]

_HASH: Final = re.compile(r"[0-9a-f]{64}")


def masked_template(stack: "Stack") -> dict[str, Any]:
    """The stack's CloudFormation template, with asset hashes masked, for a snapshot test.

    The same code and versions give the same template everywhere. What changes from one version to the next without
    meaning anything to a stack is the hash of an asset, such as the applier's package or that of CDK's provider
    framework: each is replaced by ``<asset hash>``, and so is any other run of 64 hexadecimal digits. All else is left
    as it is.

    Nothing can be added to an app that was synthesised: call this when all of its stacks are complete.

    Args:
        stack: the stack; its app is synthesised.

    Returns:
        The template as a dictionary, as ``Template.from_stack(stack).to_json()`` gives it.
    """
    from aws_cdk.assertions import Template

    template: dict[str, Any] = json.loads(_HASH.sub("<asset hash>", json.dumps(Template.from_stack(stack).to_json())))
    return template
