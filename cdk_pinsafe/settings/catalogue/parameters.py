"""The parameters of PostgreSQL 14 to 18 and of some extensions.

The data were measured: ``tests/settings/generate_catalogue.py`` wrote them from ``pg_settings`` of real servers, which
they name, and from values that those servers accepted. One kind of value is documented instead: the compression methods
that an enum has only if PostgreSQL was built with their libraries. A row is true for the measured releases, including
the latest one of each major version; a later minor release can add a parameter. RDS and Aurora were not measured.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypedDict

from ..names import DENIED, LIST_PARAMETERS, extension_of

MAJORS: Final = range(14, 19)
"""The major versions that the catalogue knows."""

SETTABLE: Final = frozenset({"user", "superuser"})
"""The contexts of parameters that a database can set."""


class Server(TypedDict):
    """A measured server: its version text, and its modules with the versions of their extensions."""

    server: str
    modules: Mapping[str, str]


@dataclass(frozen=True)
class Parameter:
    """A parameter in a range of major versions.

    Attributes:
        name: in PostgreSQL's case, as in ``TimeZone``.
        majors: the major versions for which the row is true.
        context: who can set it and when, in the terms of ``pg_settings``: ``user`` and ``superuser`` parameters can be
            set in a database.
        type: ``bool``, ``integer``, ``real``, ``enum`` or ``string``.
        unit: the unit of a number without one, such as ``kB``, ``8kB`` (blocks) or ``ms``; None for plain numbers.
        minimum: of an integer or real, in ``unit``; None if the type itself is the limit.
        maximum: likewise.
        values: an enum's values.
        hidden_values: further spellings that the enum accepts but does not show.
        since: the extension's release that added it; None for PostgreSQL's parameters, for modules that ship with
            PostgreSQL, and if the oldest measured release has it.
        description: PostgreSQL's short description.
    """

    name: str
    majors: range
    context: str
    type: str
    unit: str | None
    minimum: int | float | None
    maximum: int | float | None
    values: Sequence[str]
    hidden_values: Sequence[str]
    since: str | None
    description: str

    @property
    def is_settable(self) -> bool:
        """Whether a database can set it, and this package does not deny it."""
        return self.context in SETTABLE and self.name.lower() not in DENIED

    @property
    def is_list(self) -> bool:
        """Whether the value is a list of names that PostgreSQL quotes one by one."""
        return self.name.lower() in LIST_PARAMETERS

    @property
    def extension(self) -> str | None:
        """The extension or module whose library defines it; None for PostgreSQL's parameters."""
        return extension_of(self.name)


def versions_of(name: str) -> Sequence[Parameter]:
    """A parameter's rows, oldest version first; empty for an unknown name. The name can be in any case."""
    return [_parameter(row) for row in _data().rows.get(name.lower(), ())]


def find(name: str, major: int) -> Parameter | None:
    """The parameter in a major version. The name can be in any case."""
    return next((row for row in versions_of(name) if major in row.majors), None)


def names(major: int) -> Iterator[str]:
    """The names, in PostgreSQL's case, of the parameters of a major version and the known extensions."""
    for rows in _data().rows.values():
        yield from (row["name"] for row in rows if major in _majors(row))


def prefixes() -> frozenset[str]:
    """The prefixes before the dot in the names of the known extensions' parameters."""
    return frozenset(name.partition(".")[0] for name in _data().rows if "." in name)


def measured_on() -> Sequence[Server]:
    """The servers that were measured."""
    return _data().servers


@dataclass(frozen=True)
class _Data:
    servers: Sequence[Server]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]


@cache
def _data() -> _Data:
    content = json.loads(Path(__file__).with_name("parameters.json").read_text(encoding="utf-8"))
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in content["parameters"]:
        rows.setdefault(row["name"].lower(), []).append(row)
    return _Data(content["servers"], rows)


def _parameter(row: Mapping[str, Any]) -> Parameter:
    return Parameter(
        name=row["name"],
        majors=_majors(row),
        context=row["context"],
        type=row["type"],
        unit=row.get("unit"),
        minimum=row.get("min"),
        maximum=row.get("max"),
        values=row.get("values", ()),
        hidden_values=row.get("hidden", ()),
        since=row.get("since"),
        description=row["about"],
    )


def _majors(row: Mapping[str, Any]) -> range:
    # An extension that does not ship with PostgreSQL is the same in all versions.
    first, last = row.get("majors", (MAJORS[0], MAJORS[-1]))
    return range(first, last + 1)
