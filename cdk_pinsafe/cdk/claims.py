"""Two DatabaseSettings of one app must not set the same parameter of the same database: said at the end of synth."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final
from weakref import WeakKeyDictionary

import jsii
from aws_cdk import Stack
from constructs import Construct, IConstruct, IValidation

Claim = tuple[str, str, str]
"""A database's name, a role or empty, and a parameter's name in lower case."""


class Claims:
    """What the DatabaseSettings of one construct tree set, each parameter of each database with its constructs.

    A server is known by its host and port as they were given, literally or as CDK's tokens, and by what these tokens
    resolve to within one stack. Two names of one server are not found to be one: the applier finds them out.
    """

    _of_root: Final[WeakKeyDictionary[IConstruct, "Claims"]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._by_parameter: dict[tuple[str, Claim], list[Construct]] = {}

    @classmethod
    def add(cls, construct: Construct, host: str, port: str, claims: Sequence[Claim]) -> None:
        """Note what a construct sets; it is held against all others of its tree when the tree is validated.

        Args:
            construct: the DatabaseSettings.
            host: of the server, maybe a token.
            port: likewise.
            claims: what it sets.
        """
        tree = cls._of_root.setdefault(construct.node.root, cls())
        stack = Stack.of(construct)
        server = json.dumps([host, port])
        resolved = json.dumps([stack.node.path, stack.resolve([host, port])])
        keys = [(where, claim) for where in (server, resolved) for claim in claims]
        for key in keys:
            tree._by_parameter.setdefault(key, []).append(construct)
        construct.node.add_validation(_OneSetter(construct, tree, keys))

    def earlier(self, construct: Construct, key: tuple[str, Claim]) -> Construct | None:
        """The first construct of the tree that sets the parameter, if the construct is not the first itself."""
        others = (one for one in self._by_parameter[key] if one is construct or _is_in_tree(one))
        first = next(others)
        return None if first is construct else first


@jsii.implements(IValidation)
class _OneSetter:
    """What one construct sets, and an earlier one as well."""

    def __init__(self, construct: Construct, claims: Claims, keys: Sequence[tuple[str, Claim]]) -> None:
        self._construct = construct
        self._claims = claims
        self._keys = keys

    def validate(self) -> list[str]:
        found: dict[Claim, Construct] = {}
        for key in self._keys:
            if other := self._claims.earlier(self._construct, key):
                found.setdefault(key[1], other)
        by_other: dict[str, list[Claim]] = {}
        for claim, other in found.items():
            by_other.setdefault(other.node.path, []).append(claim)
        return [_message(other, claims) for other, claims in by_other.items()]


def _message(other: str, claims: Iterable[Claim]) -> str:
    (database, role, name), *more = claims
    of_role = f" of role {role!r}" if role else ""
    others = f" (likewise {len(more)} more)" if more else ""
    prop = f"role_settings[{role}]" if role else "settings"
    return (
        f"'{prop}' should not set what another DatabaseSettings sets, got {name!r}{of_role} in database "
        f"{database!r}{others}, which {other} sets as well: keep it in one of them"
    )


def _is_in_tree(construct: Construct) -> bool:
    """Whether neither the construct nor what it is in was removed from its scope."""
    path = construct.node.scopes
    return all(scope.node.try_find_child(child.node.id) is not None for scope, child in pairwise(path))
