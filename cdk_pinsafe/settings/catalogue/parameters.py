"""The parameters of PostgreSQL 14 to 18 and of some extensions.

The data were measured: ``tests/settings/generate_catalogue.py`` wrote them from ``pg_settings`` of real servers, which
they name, and from what those servers took. One value of a row is documented instead: the compression methods that an
enum has only where PostgreSQL was built with their libraries. A row holds for the releases that were measured, each
major version's latest among them; now and then a minor release brings a parameter. RDS and Aurora were not asked; what
they add or change is not here.
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
"""The contexts that let a database have a value of its own."""


class Server(TypedDict):
    """A server that was measured: its own version text, and its modules with the versions of their extensions."""

    server: str
    modules: Mapping[str, str]


@dataclass(frozen=True)
class Parameter:
    """A parameter as a stretch of major versions has it.

    Attributes:
        name: in PostgreSQL's own case, as in ``TimeZone``.
        majors: the major versions for which the row holds.
        context: who can set it and when, in the terms of ``pg_settings``: ``user`` and ``superuser`` parameters can be
            set in a database.
        type: ``bool``, ``integer``, ``real``, ``enum`` or ``string``.
        unit: what a number without a unit counts, such as ``kB``, ``8kB`` (blocks) or ``ms``; None for plain numbers.
        minimum: of an integer or real, in ``unit``; None if the type itself is the limit.
        maximum: likewise.
        values: an enum's values.
        hidden_values: further spellings that the enum takes and does not show.
        since: the extension's release that brought it; None for PostgreSQL's own, for what ships with PostgreSQL, and
            for what the oldest release that was measured has.
        description: PostgreSQL's own short description.
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
        """Whether a database can have a value of its own, and this package does not refuse it."""
        return self.context in SETTABLE and self.name.lower() not in DENIED

    @property
    def is_list(self) -> bool:
        """Whether the value is a list of names that PostgreSQL quotes one by one."""
        return self.name.lower() in LIST_PARAMETERS

    @property
    def extension(self) -> str | None:
        """The extension or module whose library defines it; None for PostgreSQL's own."""
        return extension_of(self.name)


def versions_of(name: str) -> Sequence[Parameter]:
    """A parameter's rows, oldest version first; none for an unknown name. Case does not matter."""
    return [_parameter(row) for row in _data().rows.get(name.lower(), ())]


def find(name: str, major: int) -> Parameter | None:
    """The parameter as a major version has it. Case does not matter."""
    return next((row for row in versions_of(name) if major in row.majors), None)


def names(major: int) -> Iterator[str]:
    """The names, in PostgreSQL's own case, that a major version and the known extensions have."""
    for rows in _data().rows.values():
        yield from (row["name"] for row in rows if major in _majors(row))


def prefixes() -> frozenset[str]:
    """What stands before the dot in the names of the extensions that the catalogue knows."""
    return frozenset(name.partition(".")[0] for name in _data().rows if "." in name)


def measured_on() -> Sequence[Server]:
    """The servers that the data are from."""
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
    # An extension that does not ship with PostgreSQL is the same for all.
    first, last = row.get("majors", (MAJORS[0], MAJORS[-1]))
    return range(first, last + 1)
