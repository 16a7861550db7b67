"""What the message of a refused extension blames."""

import pytest

from cdk_pinsafe.applier.messages import ServerMessage, Target, extension_refused

from ..docs.pages import page

TARGET = Target("db", 5432, "app")


def message(
    sqlstate: str, text: str = "refused", *, name: str = "postgis", is_offered: bool = True, hint: str = ""
) -> str:
    return extension_refused(TARGET, ServerMessage(sqlstate, text, hint=hint, about=name), is_offered=is_offered)


@pytest.mark.parametrize(
    ("sqlstate", "hint", "remedy"),
    [
        ("XX000", "Add it to shared_preload_libraries", "add it to shared_preload_libraries in the parameter group"),
        ("55000", "", "add it to shared_preload_libraries in the parameter group"),
        ("42704", "", "see that what the message names exists"),
        ("42723", "", "an object of that name already"),
        ("57014", "", "create the extension by hand"),
        ("P0001", "", "the extension's own script failed"),
    ],
)
def test_the_remedy_follows_from_the_refusal(sqlstate: str, hint: str, remedy: str) -> None:
    """Name, engine and rights are not blamed where a script failed."""
    told = message(sqlstate, hint=hint)
    assert told.startswith('extension "postgis" in database "app" at db:5432: refused')
    assert remedy in told


def test_long_messages_leave_the_remedy() -> None:
    """PostgreSQL's words are cut first."""
    for sqlstate in ("42501", "42704", "P0001"):
        told = message(sqlstate, "x" * 2000, hint="y" * 2000, name="n" * 63)
        assert len(told) < 1000
        assert told.endswith(message(sqlstate).partition("nothing was changed; ")[2])
    assert message("P0001", name="pg_cron").endswith("which is postgres unless set")


def test_the_guide_has_the_messages() -> None:
    """Its table begins with what a message says."""
    _, _, table = page("extensions").partition("| the message says | because |\n")
    rows = [row.split(" | ")[0].strip("| …") for row in table.partition("\n\n")[0].splitlines()[1:]]
    states = ("42501", "55000", "42710", "3F000", "57014", "P0001")
    every = " ".join([message("0A000", is_offered=False), *(message(sqlstate) for sqlstate in states)])
    assert len(rows) == len(states) + 1
    assert [row for row in rows if row not in every] == []
