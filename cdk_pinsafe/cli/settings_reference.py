"""``pinsafe settings``: shows the catalogue of parameters."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import SettingError
from ..pinning.clients import Pins, senders
from ..settings import DENIED
from ..settings.catalogue import (
    MAJORS,
    Parameter,
    Suits,
    check,
    find,
    hazard,
    hazard_of,
    measured_on,
    names,
    rds_denies,
    versions_of,
)
from ..settings.catalogue.check import WHY_NOT_PER_DATABASE, expected
from ..settings.catalogue.parameters import SETTABLE
from ..settings.catalogue.reading import units_of

_SET_BY: Final = {
    "user": "every role; the database's owner sets its default for the database",
    "superuser": "superusers, and roles that were granted SET on it",
}
# Text to Python: the first value that a parameter accepts is its example.
_EXAMPLES: Final[Mapping[str, str]] = {
    "30s": "Duration.seconds(30)",
    "10ms": "Duration.millis(10)",
    "64MB": "Size.mebibytes(64)",
    "128kB": "Size.kibibytes(128)",
    "100": "100",
    "1.1": "1.1",
    "0.5": "0.5",
    "10": "10",
    "2": "2",
    "1": "1",
    "0": "0",
}
_WHEN: Final = {Pins.YES: "", Pins.SOMETIMES: " (sometimes)", Pins.REFUSED: " (sometimes)"}
_WIDE: Final = 220


def show(name: str | None, major: int | None, output_format: str) -> None:
    """Print one parameter, or, without a name, the list of parameters that a database can set.

    Args:
        name: the parameter's name, in upper or lower case.
        major: a major version of PostgreSQL. Default: all versions for one parameter; the newest for the list.
        output_format: ``text`` or ``json``.

    Raises:
        SettingError: there is no such parameter, or the version does not have it.
    """
    if name is None:
        _show_all(major or MAJORS[-1], output_format)
        return
    rows = [row for row in versions_of(name) if major is None or major in row.majors]
    denied = DENIED.get(name.lower())
    if not rows and not denied:
        _raise_unknown(name, major or MAJORS[-1])
    if output_format == "json":
        _print_json(_as_json(name, rows, denied))
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in _lines(name, rows, denied):
        console.print(line)


def _raise_unknown(name: str, major: int) -> None:
    for warning in check(name, None, major):
        raise SettingError(warning.message)


def _denied_on_rds(row: Parameter) -> str | None:
    """Why RDS denies a parameter that other servers accept for a database, and what to do instead."""
    known = hazard(row.name)
    # The advice is a parameter group, which is wrong for a value that suits no session.
    may_be_wanted = known is None or known.suits is not Suits.NEVER
    return rds_denies(row.name) if row.is_settable and may_be_wanted else None


def _show_all(major: int, output_format: str) -> None:
    found = [find(name, major) for name in names(major)]
    settable = [one for one in found if one is not None and one.is_settable]
    if output_format == "json":
        shown = [_as_json(one.name, [one], None) for one in settable]
        _print_json({"engine_version": major, "measured_on": _servers(major), "parameters": shown})
        return
    console = Console(highlight=False)
    if not console.is_terminal:  # one parameter per line, for grep
        console = Console(highlight=False, width=_WIDE)
    table = Table("parameter", "values", "description", box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.columns[0].no_wrap = True
    for one in settable:
        star = "*" if _denied_on_rds(one) else ""
        table.add_row(f"[cyan]{escape(one.name)}[/]{star}", escape(_values(one)), escape(one.description))
    console.print(table)
    console.print(f"\n{len(settable)} parameters that a database of PostgreSQL {major} can set, with extensions'.")
    console.print("* for superusers only, which RDS's master user is not: set it in a parameter group.")
    console.print(f"Measured on {', '.join(_servers(major))}. RDS and Aurora may differ.")


def _lines(name: str, rows: Sequence[Parameter], denied: str | None) -> Iterator[str]:
    yield f"[bold cyan]{escape(rows[-1].name if rows else name.lower())}[/]"
    if rows:
        yield escape(rows[-1].description)
    if denied:
        yield _field("denied", f"[red]{escape(denied)}[/]")
    for row in rows:
        yield ""
        yield _field("PostgreSQL", _stretch(row.majors))
        if row.extension:
            yield _field("extension", escape(_extension(row.extension, row.since)))
        yield _field("type", "list" if row.is_list else row.type)
        yield _field("takes", escape(_takes(row)))
        if not denied:
            yield _field("set by", escape(_set_by(row)))
        if row.is_settable:
            yield _field("default", escape(_default(row.name)))
        if on_rds := _denied_on_rds(row):
            yield _field("on RDS", f"[red]{escape(on_rds)}[/]")
        elif row.is_settable and (example := _example(row)):
            yield _field("in CDK", escape(example))
    if found := senders(name):
        yield ""
        yield _field("sent by", escape(", ".join(f"{one.name}{_WHEN[one.pins]}" for one in found)))
        yield _field("", "they override the setting; pinsafe clients NAME shows how to stop it")


def _field(label: str, text: str) -> str:
    return f"  [dim]{label:<12}[/]{text}"


def _stretch(majors: range) -> str:
    between = " and " if len(majors) == 2 else " to "
    return between.join(str(major) for major in sorted({majors[0], majors[-1]}))


def _extension(extension: str, since: str | None) -> str:
    if since:
        return f"{extension}, since {since}"
    releases = {one["modules"].get(extension, "") for one in measured_on()} - {""}
    ordered = sorted(releases, key=lambda release: [int(part) for part in release.split(".")])
    return f"{extension}, measured in {ordered[0]} to {ordered[-1]}" if ordered else extension


def _takes(row: Parameter) -> str:
    units = f", in {', '.join(units_of(row.unit))}; without a unit it counts {row.unit}" if row.unit else ""
    return f"{expected(row)}{units}"


def _values(row: Parameter) -> str:
    """The values that a parameter accepts, in the short form of a table."""
    if row.type in ("integer", "real"):
        return re.sub("^(a whole|a) number (that is |from |of )?", "", expected(row))
    return expected(row).removeprefix("one of ")


def _set_by(row: Parameter) -> str:
    if row.context in SETTABLE:
        raised = row.context == "superuser" and not _denied_on_rds(row)
        return f"{_SET_BY[row.context]}{'; RDS lets its master user set it' if raised else ''}"
    return f"no database: {WHY_NOT_PER_DATABASE[row.context]} ({row.context}); set it in a parameter group"


def _default(name: str) -> str:
    """Which sessions can have the parameter as a default."""
    known = hazard(name)
    if known is None:
        return f"any value may be that of {Suits.EVERY_SESSION}"
    who = "nobody" if known.suits is Suits.NEVER else f"{known.suits} only"
    return f"{known.values}: for {who}, as {known.reason}"


def _example(row: Parameter) -> str | None:
    """An argument of ``DatabaseSettings`` that sets the parameter to a valid value; None if it should not be set."""
    known = hazard(row.name)
    value = "False" if known is not None and known.values == "off" else _example_value(row)
    if known is None or (not known.usual and hazard_of(row.name, value.strip('"')) is None):
        return f'settings={{"{row.name}": {value}}}'
    return f'role_settings={{"<role>": {{"{row.name}": {value}}}}}' if known.suits is Suits.OWN_ROLE else None


def _example_value(row: Parameter) -> str:
    if row.type == "bool":
        return "True"
    if row.type == "enum":
        return json.dumps(row.values[min(1, len(row.values) - 1)])
    if row.type == "string":
        return '["app", "public"]' if row.is_list else '"..."'
    return next(code for text, code in _EXAMPLES.items() if _is_taken(row, text))


def _is_taken(row: Parameter, text: str) -> bool:
    try:
        return check(row.name, text, row.majors[0]) == []
    except SettingError:
        return False


def _servers(major: int) -> list[str]:
    """The servers that a major version was measured on."""
    versions = (one["server"].partition(" on ")[0] for one in measured_on())
    return sorted({one for one in versions if one.split()[1].partition(".")[0] == str(major)})


def _as_json(name: str, rows: Sequence[Parameter], denied: str | None) -> dict[str, Any]:
    return {
        "name": rows[-1].name if rows else name.lower(),
        "description": rows[-1].description if rows else None,
        "extension": rows[-1].extension if rows else None,
        "list": bool(rows) and rows[-1].is_list,
        "denied": denied,
        "clients": [one.name for one in senders(name)],
        "versions": [
            {
                "engine_versions": list(row.majors),
                "since": row.since,
                "context": row.context,
                "settable": row.is_settable,
                "denied_on_rds": _denied_on_rds(row),
                "harmful_default": _harmful(row.name) if row.is_settable else None,
                "type": row.type,
                "unit": row.unit,
                "units": list(units_of(row.unit)),
                "minimum": row.minimum,
                "maximum": row.maximum,
                "values": list(row.values),
                "example": _example(row) if row.is_settable and not _denied_on_rds(row) else None,
            }
            for row in rows
        ],
    }


def _harmful(name: str) -> dict[str, str] | None:
    known = hazard(name)
    return {"suits": known.suits, "values": known.values, "reason": known.reason} if known else None


def _print_json(document: Mapping[str, Any]) -> None:
    # rich would wrap and color it.
    print(json.dumps(document, indent=2, ensure_ascii=False))  # noqa: T201
