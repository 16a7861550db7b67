"""Validation that no two DatabaseSettings of an app set the same parameter of the same database."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final
from weakref import WeakKeyDictionary

import jsii
from aws_cdk import Stack
from constructs import Construct, IConstruct, IValidation

Claim = tuple[str, str, str]
"""Database, role (empty for the database itself), and parameter in lower case."""


class Claims:
    """The parameters that the DatabaseSettings of a construct tree set.

    A server is identified by its host and port, as literals or CDK's tokens, and by what the tokens resolve to within a
    stack. Two names of one server are not recognized here; the applier does so.
    """

    _of_root: Final[WeakKeyDictionary[IConstruct, "Claims"]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._by_parameter: dict[tuple[str, Claim], list[Construct]] = {}

    @classmethod
    def add(cls, construct: Construct, host: str, port: str, claims: Sequence[Claim]) -> None:
        """Record what a construct sets, to be compared when the tree is validated.

        Args:
            construct: the DatabaseSettings.
            host: the server's host, as a literal or a token.
            port: the server's port, as a literal or a token.
            claims: what the construct sets.
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
        """The first construct of the tree that sets the parameter, unless it is the given one."""
        others = (one for one in self._by_parameter[key] if one is construct or _is_in_tree(one))
        first = next(others)
        return None if first is construct else first


@jsii.implements(IValidation)
class _OneSetter:
    """Fails the synth of a construct that sets what an earlier one sets."""

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
    others = f" (and {len(more)} more)" if more else ""
    prop = f"role_settings[{role}]" if role else "settings"
    return (
        f"'{prop}' should not set what another DatabaseSettings sets, got {name!r}{of_role} in database "
        f"{database!r}{others}, which {other} sets as well: keep it in one of them"
    )


def _is_in_tree(construct: Construct) -> bool:
    """Whether neither the construct nor any of its scopes was removed from the tree."""
    path = construct.node.scopes
    return all(scope.node.try_find_child(child.node.id) is not None for scope, child in pairwise(path))
