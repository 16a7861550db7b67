"""The catalogue of clients, against the analysis of its SQL and the digests."""

import pytest

from cdk_pinsafe.errors import UnknownNameError
from cdk_pinsafe.pinning.clients import CLIENTS, Client, Pins, canonical, client, recognise
from cdk_pinsafe.pinning.conditions import condition
from cdk_pinsafe.pinning.statements import analyse, digest
from cdk_pinsafe.settings import check_name


@pytest.mark.parametrize("one", CLIENTS, ids=lambda one: one.name)
def test_statements_meet_the_clients_conditions(one: Client) -> None:
    analyses = [analyse(sql) for sql in one.statements]
    assert not any(analysis.not_parsed for analysis in analyses)
    met = {finding.condition.id for analysis in analyses for finding in analysis.findings}
    assert met == set(one.conditions)
    assert bool(met) == (one.pins in (Pins.YES, Pins.SOMETIMES))


@pytest.mark.parametrize("one", CLIENTS, ids=lambda one: one.name)
def test_client_is_complete(one: Client) -> None:
    assert one.evidence
    assert all(link.startswith("https://") for link in one.source)
    assert [condition(name).id for name in one.conditions] == list(one.conditions)
    assert [check_name(name) for name in one.settings] == list(one.settings)
    assert all(alias == alias.lower() for alias in one.aliases)


@pytest.mark.parametrize("one", [one for one in CLIENTS if one.digest_prefixes], ids=lambda one: one.name)
def test_digest_prefixes_match_the_clients_statements(one: Client) -> None:
    digests = [canonical(text) for sql in one.statements for text in (digest(sql), sql)]
    assert all(any(text.startswith(mark) for text in digests) for mark in one.digest_prefixes)
    assert any(one in recognise(text) for sql in one.statements for text in (digest(sql), sql))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("set client_min_messages to $1;set time zone interval $2 hour to minute", ["Sequelize"]),
        ("SET client_min_messages TO warning;SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE", ["Sequelize"]),
        ("set client_min_messages to $1", ["Rails"]),
        ("set search_path to $1,$2,$3", ["Knex", "Laravel"]),
        ("select pg_advisory_unlock_all(); close all; unlisten *; reset all;", ["asyncpg pool"]),
        ('declare "_django_curs_140042145613568_sync_7" no scroll cursor with hold for select a.… from a', ["Django"]),
        (
            "set session characteristics as transaction isolation level $1 uncommitted",
            ["JDBC setTransactionIsolation, setSchema"],
        ),
        ("set extra_float_digits = $1", ["pgjdbc before 42.7.5"]),
        ("select 1", []),
    ],
)
def test_published_digests_name_their_client(text: str, names: list[str]) -> None:
    """Also the SQL before its constants were replaced."""
    assert [one.name for one in recognise(text)] == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SET client_min_messages TO warning", ["Rails", "Sequelize"]),
        ("SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE", ["Sequelize"]),
        ("SELECT pg_advisory_unlock_all()", ["asyncpg pool"]),
        ("SET DateStyle = 'ISO'", ["psycopg2", "psqlODBC"]),
    ],
)
def test_separate_statements_name_their_client(text: str, names: list[str]) -> None:
    """pg_stat_statements separates the statements of one text."""
    assert [one.name for one in recognise(text, each=True)] == names


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("rails", "Rails"),
        ("ActiveRecord", "Rails"),
        ("psycopg 3", "psycopg"),
        ("pg", "node-postgres"),
        ("ecto", "pgx, Postgrex"),
        ("postgres", "postgres.js"),
    ],
)
def test_client_is_found_by_name_alias_and_package(asked: str, name: str) -> None:
    assert client(asked).name == name


def test_names_and_aliases_are_unique() -> None:
    spelt = [name for one in CLIENTS for name in {one.name.lower(), *one.aliases}]
    assert len(spelt) == len(set(spelt))


def test_unknown_client() -> None:
    """The error names a similar one."""
    with pytest.raises(UnknownNameError, match="there is no client 'sequalize': did you mean Sequelize"):
        client("sequalize")
    with pytest.raises(UnknownNameError, match="lists those that are known"):
        client("qqqqqqqq")
