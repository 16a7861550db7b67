"""Whether a resource's policy allows CloudWatch's alarms to publish to a topic, or to use its key.

This module knows JSON, not CDK. Values that only the deployment knows count as allowing it.

Source: "Why didn't I receive an SNS notification for my CloudWatch alarm trigger?", AWS re:Post (documented);
aws-solutions/automated-security-response-on-aws issue 43, awslabs/landing-zone-accelerator-on-aws issue 31 (measured by
others). Not tried on AWS.
"""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

__all__ = ["AWS_MANAGED_KEY", "KEY_ACTIONS", "PUBLISH", "SERVICE", "UNDECIDED", "allows_key_use", "allows_publish"]

SERVICE: Final = "cloudwatch.amazonaws.com"
PUBLISH: Final = "sns:Publish"
KEY_ACTIONS: Final = ("kms:Decrypt", "kms:GenerateDataKey*")
AWS_MANAGED_KEY: Final = "alias/aws/sns"
"""AWS's key for SNS, whose policy cannot be changed, and which CloudWatch cannot use."""
UNDECIDED: Final = "\0"
"""Placeholder in a text for a value that only the deployment knows."""

Text = Callable[[Any], str]
"""A value of a template as text."""

_SERVICE: Final = re.compile(r"\*|cloudwatch(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?|.*\0.*", re.DOTALL)
_ACCOUNT: Final = re.compile(r"\d{12}|arn:.*:root|\0[^\0]*(?<!Arn)\0", re.DOTALL)
"""Principals that can be an account; a placeholder that ends with Arn is a role."""
_ARN_OF_ANOTHER_SERVICE: Final = re.compile(r"arn:(\0[^\0]*\0|[^:*?\0]*):(?!cloudwatch:)[^:*?\0]+:")
_POSITIVE: Final = re.compile(r"(String(Equals|EqualsIgnoreCase|Like)|Arn(Equals|Like)|Bool)(IfExists)?")
_ABSENT: Final = ("aws:principalorgid", "kms:calleraccount")
"""Keys that CloudWatch does not send, or not with your account: it calls as a principal of AWS's own (measured by
others: PRX/Infrastructure issue 335; "How Does the kms:CallerAccount Condition work", AWS re:Post)."""


def allows_publish(document: Any, account: str | None, text: Text) -> bool:
    """Whether a topic's policy allows the alarms of an account to publish.

    Args:
        document: the policy as in a template.
        account: the alarms' account; None if it is not known at synth.
        text: returns a value of the policy as text, with :data:`UNDECIDED` for what only the deployment knows.
    """
    # The account as a principal includes its alarms, as in SNS's default policy.
    return _lets(document, PUBLISH, account, text, accounts=True)


def allows_key_use(document: Any, account: str | None, text: Text) -> bool:
    """Whether a key's policy allows the alarms of an account to use it; arguments as for :func:`allows_publish`."""
    return all(_lets(document, action.rstrip("*"), account, text, accounts=False) for action in KEY_ACTIONS)


def _lets(document: Any, action: str, account: str | None, text: Text, *, accounts: bool) -> bool:
    if not isinstance(document, Mapping) or "Statement" not in document:
        return True
    statements = _list(document["Statement"])
    if not all(isinstance(statement, Mapping) and "Effect" in statement for statement in statements):
        return True
    allowed = False
    for statement in statements:
        if text(statement["Effect"]) == "Deny":
            # A denial with a condition may be meant for others.
            if not statement.get("Condition") and _denies(statement, action, text):
                return False
        elif not allowed:
            condition = statement.get("Condition")
            is_for_it = _allows(statement, action, text) and _is_for_cloudwatch(statement, text, accounts)
            allowed = is_for_it and _can_hold(condition, account, text)
    return allowed


def _allows(statement: Mapping[str, Any], action: str, text: Text) -> bool:
    if "NotAction" in statement:
        return not _matches(statement["NotAction"], action, text)
    actions = statement.get("Action")
    return _matches(actions, action, text) or any(UNDECIDED in text(one) for one in _list(actions))


def _denies(statement: Mapping[str, Any], action: str, text: Text) -> bool:
    principal = statement.get("Principal")
    principals = principal if isinstance(principal, Mapping) else {"AWS": principal}
    named = [text(one) for key in ("AWS", "Service") for one in _list(principals.get(key))]
    return ("*" in named or SERVICE in named) and _matches(statement.get("Action"), action, text)


def _matches(patterns: Any, action: str, text: Text) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), text(pattern).lower()) for pattern in _list(patterns))


def _is_for_cloudwatch(statement: Mapping[str, Any], text: Text, accounts: bool) -> bool:
    principal = statement.get("Principal", "*")
    if not isinstance(principal, Mapping):
        return text(principal) == "*" or UNDECIDED in text(principal)
    if any(key == "Ref" or key.startswith("Fn::") for key in principal):
        return True
    if any(_SERVICE.fullmatch(text(service)) for service in _list(principal.get("Service"))):
        return True
    named = [text(one) for one in _list(principal.get("AWS"))]
    return "*" in named or (accounts and any(_ACCOUNT.fullmatch(one) for one in named))


def _can_hold(condition: Any, account: str | None, text: Text) -> bool:
    """Whether an alarm can fulfill a condition."""
    tests = condition.items() if isinstance(condition, Mapping) else ()
    return all(
        _can_be(key.lower(), [text(value) for value in _list(values)], account)
        or (operator.endswith("IfExists") and key.lower() in _ABSENT)
        for operator, keys in tests
        if _POSITIVE.fullmatch(operator.rpartition(":")[2]) and isinstance(keys, Mapping)
        for key, values in keys.items()
    )


def _can_be(key: str, values: Sequence[str], account: str | None) -> bool:
    match key:
        case _ if key in _ABSENT:
            return False
        case "aws:sourcearn":
            return not all(map(_ARN_OF_ANOTHER_SERVICE.match, values))
        case _ if any(UNDECIDED in value for value in values):
            return True
        case "aws:sourceaccount" | "aws:sourceowner":
            return account is None or any(fnmatch.fnmatchcase(account, value) for value in values)
        case "aws:securetransport":
            return any(value.lower() == "true" for value in values)
    return True


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
