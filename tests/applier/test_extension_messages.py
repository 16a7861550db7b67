"""The cause that the message of a refused extension names."""

import pytest

from cdk_pinsafe.applier.messages import ServerMessage, Target, extension_refused

from ..docs.pages import page

TARGET = Target("db", 5432, "app")


def message(
    sqlstate: str, text: str = "refused", *, name: str = "postgis", is_available: bool = True, hint: str = ""
) -> str:
    return extension_refused(TARGET, ServerMessage(sqlstate, text, hint=hint, about=name), is_available=is_available)


@pytest.mark.parametrize(
    ("sqlstate", "hint", "remedy"),
    [
        ("XX000", "Add it to shared_preload_libraries", "add it to shared_preload_libraries in the parameter group"),
        ("55000", "", "add it to shared_preload_libraries in the parameter group"),
        ("42704", "", "check that what the message names exists"),
        ("42723", "", "an object of that name already"),
        ("57014", "", "create the extension manually"),
        ("P0001", "", "the extension's own script failed"),
    ],
)
def test_remedy_follows_from_sqlstate(sqlstate: str, hint: str, remedy: str) -> None:
    """A failed script is not blamed on name, engine version or privileges."""
    text = message(sqlstate, hint=hint)
    assert text.startswith('extension "postgis" in database "app" at db:5432: refused')
    assert remedy in text


def test_long_messages_keep_the_remedy() -> None:
    """PostgreSQL's text is truncated first."""
    for sqlstate in ("42501", "42704", "P0001"):
        text = message(sqlstate, "x" * 2000, hint="y" * 2000, name="n" * 63)
        assert len(text) < 1000
        assert text.endswith(message(sqlstate).partition("nothing was changed; ")[2])
    assert message("P0001", name="pg_cron").endswith("by default postgres")


def test_guide_has_the_messages() -> None:
    """Its table begins each row with a part of the message."""
    _, _, table = page("extensions").partition("| the message says | because |\n")
    rows = [row.split(" | ")[0].strip("| …") for row in table.partition("\n\n")[0].splitlines()[1:]]
    states = ("42501", "55000", "42710", "3F000", "57014", "P0001")
    every = " ".join([message("0A000", is_available=False), *(message(sqlstate) for sqlstate in states)])
    assert len(rows) == len(states) + 1
    assert [row for row in rows if row not in every] == []
