"""Analysis of SQL: positions, values, unparsed statements, notes."""

import subprocess
import sys
import textwrap

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdk_pinsafe.pinning.clients import CLIENTS
from cdk_pinsafe.pinning.conditions import CONDITIONS, Evidence
from cdk_pinsafe.pinning.statements import Analysis, analyse, digest
from cdk_pinsafe.rds_proxy import STATEMENT_LIMIT


def spans(sql: str) -> list[tuple[str, str]]:
    """The condition and text of each finding."""
    return [(one.condition.id, sql[one.start : one.end]) for one in analyse(sql).findings]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SET search_path TO a", [("set", "SET search_path TO a")]),
        ("  /* why */ SET x.y = 1 -- because\n ;", [("set", "SET x.y = 1")]),
        ("select 1; set a.b = '😀'; select 2; reset all", [("set", "set a.b = '😀'"), ("set", "reset all")]),
        ("select 'é', pg_catalog . nextval ( 's' ) + 1", [("sequence", "pg_catalog . nextval ( 's' )")]),
        ("select \"nextval\"(f('s', (1))), 2", [("sequence", "\"nextval\"(f('s', (1)))")]),
        ("select U&\"next\\0076al\"('s')", [("sequence", "U&\"next\\0076al\"('s')")]),
        ("SELECT * FROM NextVal('s')", [("sequence", "NextVal('s')")]),
        ("select 1 into temp t from x", [("temp-object", "into temp t")]),
        ("create table pg_temp . t (a int)", [("temp-object", "create table pg_temp . t")]),
        ("create temp table a.t as select 1", [("temp-object", "create temp table a.t")]),
        ("create schema s create temp view v as select 1", [("temp-object", "create schema s create temp view v")]),
        ("explain (analyze) execute p(1)", [("sql-prepare", "explain (analyze) execute p(1)")]),
        ("create table t as execute p", [("sql-prepare", "create table t as execute p")]),
        ("explain declare c cursor for select 1", [("cursor", "explain declare c cursor for select 1")]),
        (
            "prepare p as select nextval('s')",
            [("sql-prepare", "prepare p as select nextval('s')"), ("sequence", "nextval('s')")],
        ),
        ("copy (select setval('s', 1)) to stdout", [("sequence", "setval('s', 1)")]),
        ("insert into t values (1) returning currval('s')", [("sequence", "currval('s')")]),
        ("with x as (select set_config('a.b', 'c', true)) select 1", [("set-config", "set_config('a.b', 'c', true)")]),
        ("update t set a = 1 where pg_try_advisory_lock(1)", [("advisory-lock", "pg_try_advisory_lock(1)")]),
        ("select count(*) from pg_prepared_statements p", [("prepared-statements-view", "pg_prepared_statements")]),
        (
            "select * from (table pg_catalog.pg_prepared_statements) s",
            [("prepared-statements-view", "pg_catalog.pg_prepared_statements")],
        ),
        ("call p(nextval('s'))", [("sequence", "nextval('s')")]),
        (
            "/* a */ listen c; notify c; unlisten *; load 'x'; discard temp",
            [("listen", "listen c"), ("load", "load 'x'"), ("discard", "discard temp")],
        ),
        ("begin; set constraints all deferred; commit", [("set-transaction", "set constraints all deferred")]),
        ("set transaction snapshot '00000003-1'", [("set-transaction", "set transaction snapshot '00000003-1'")]),
        ("set xml option document", [("set", "set xml option document")]),
        ("set schema 'app'", [("set", "set schema 'app'")]),
    ],
)
def test_findings_are_located(sql: str, found: list[tuple[str, str]]) -> None:
    assert spans(sql) == found
    assert not analyse(sql).not_parsed


@pytest.mark.parametrize(
    "sql",
    [
        "select my.nextval('s'), my.set_config('a', 'b', true), my.pg_advisory_lock(1)",
        "select \"NEXTVAL\"('s')",
        "select nextval, setval from my.pg_prepared_statements",
        "update t set nextval = 1",
        "select 'set x = 1; nextval(''s'')' -- set x = 1; nextval('s')",
        "select $x$ set a = b; listen c $x$ /* discard all; /* load 'x' */ */",
        "alter system set work_mem = '1MB'",
        "alter function f() set search_path = app",
        "start transaction isolation level serializable, read only",
        "create table attempts (temperature integer, template text)",
        "fetch all from c; close c; move 1 from c",
        "prepare transaction 'x'; commit prepared 'x'",
        "lock table t; notify c, 'listen'; unlisten c",
        "create trigger t before insert on a execute function f()",
        "create sequence s; drop sequence s; alter sequence s restart",
        "select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(1)",
        "grant temp on database d to r; grant execute on function f() to r",
        "select * from t offset 1; select current_setting('x')",
        "; ; -- nothing\n ;",
        "",
    ],
)
def test_similar_sql_is_not_found(sql: str) -> None:
    """Names in other schemas, strings, comments, and related statements."""
    analysis = analyse(sql)
    assert spans(sql) == []
    assert not analysis.not_parsed


@pytest.mark.parametrize(
    ("sql", "parameter", "value", "line"),
    [
        (
            "SET search_path TO App, \"My App\", '$user'",
            "search_path",
            ("app", "My App", "$user"),
            '["app", "My App", "$user"]',
        ),
        ("set TimeZone = 'UTC'", "timezone", "UTC", '"UTC"'),
        ("SET TIME ZONE 'Europe/Vienna'", "timezone", "Europe/Vienna", '"Europe/Vienna"'),
        ("SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE", "timezone", "UTC", '"UTC"'),
        ("SET TIME ZONE INTERVAL '-08:30' HOUR TO MINUTE", "timezone", "<-08:30>+08:30", '"<-08:30>+08:30"'),
        ("SET NAMES 'UTF8'", "client_encoding", "UTF8", '"UTF8"'),
        ("SET SCHEMA 'app'", "search_path", ("app",), '["app"]'),
        ("SET datestyle = ISO, MDY", "datestyle", "iso, mdy", '"iso, mdy"'),
        ("SET work_mem = '64MB'", "work_mem", "64MB", '"64MB"'),
        ("SET work_mem = 65536", "work_mem", "65536", "65536"),
        ("SET seq_page_cost = 1.5", "seq_page_cost", "1.5", '"1.5"'),
        ("SET jit = off", "jit", "off", '"off"'),
        ("SET hnsw.ef_search = $1", "hnsw.ef_search", None, "..."),
        ("SET LOCAL hnsw.iterative_scan = 'strict_order'", "hnsw.iterative_scan", "strict_order", '"strict_order"'),
        (
            "SELECT set_config('search_path', 'app, \"My App\"', false)",
            "search_path",
            ("app", "My App"),
            '["app", "My App"]',
        ),
        ("SELECT set_config(setting_name => 'jit'::text, new_value => 'off', is_local => true)", "jit", "off", '"off"'),
        ("SELECT set_config('jit', $1, false)", "jit", None, "..."),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "default_transaction_isolation",
            "read committed",
            '"read committed"',
        ),
    ],
)
def test_set_is_translated_for_database_settings(
    sql: str, parameter: str, value: str | tuple[str, ...] | None, line: str
) -> None:
    (finding,) = analyse(sql).findings
    assert (finding.parameter, finding.value) == (parameter, value)
    assert f'settings={{"{parameter}": {line}}}' in finding.remedy
    assert finding.settings == {parameter: value}
    assert not finding.redundant


@pytest.mark.parametrize(
    ("sql", "remedy"),
    [
        ("SET ROLE reader", "connect as that role"),
        ("SET SESSION AUTHORIZATION joe", "connect as that role"),
        ("SET application_name = 'x'", "give application_name when connecting"),
        (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY,",
        ),
        ("SET transaction_isolation = serializable", "BEGIN ISOLATION LEVEL SERIALIZABLE,"),
        ("SET SEED TO 0.5", "draw the random numbers in the client"),
        ("SET rds.extensions = 'x'", "put it in a parameter group"),
        ("SET shared_buffers = '1GB'", "put it in a parameter group"),
        ("RESET work_mem", "nothing to reset"),
        ("SET work_mem TO DEFAULT", "nothing to reset"),
        ("SET CONSTRAINTS ALL DEFERRED", "INITIALLY DEFERRED"),
        ("SELECT set_config($1, $2, true)", "pass a value of one session, such as its tenant, as a parameter"),
        ("SELECT pg_advisory_lock(1)", "pg_advisory_xact_lock"),
    ],
)
def test_remedy_without_a_setting(sql: str, remedy: str) -> None:
    (finding,) = analyse(sql).findings
    assert remedy in finding.remedy
    assert finding.settings == {}


@pytest.mark.parametrize(
    ("sql", "held", "redundant"),
    [
        ("SET search_path = app, public", {"search_path": "app, public"}, True),
        ("SET search_path = app, public", {"Search_Path": '"app","public"'}, True),
        ("SET search_path = public, app", {"search_path": "app, public"}, False),
        ('SET search_path = "$user", public', {"search_path": '"$user", public'}, True),
        ('SET search_path = "App"', {"search_path": "app"}, False),
        ("SET jit = false", {"jit": "off"}, True),
        ("SET jit = 1", {"jit": "off"}, False),
        ("SET TIME ZONE 'utc'", {"TimeZone": "UTC"}, True),
        ("SET work_mem = '65536kB'", {"work_mem": "64MB"}, True),
        ("SET work_mem = 65536", {"work_mem": "64MB"}, False),
        ("SET work_mem = '64GB'", {"work_mem": "64MB"}, False),
        ("SET statement_timeout = '60s'", {"statement_timeout": "1min"}, True),
        ("SET client_encoding = 'utf-8'", {"client_encoding": "UTF8"}, True),
        ("SET datestyle = 'ISO'", {"datestyle": "ISO, MDY"}, True),
        ("SET datestyle = 'German'", {"datestyle": "ISO, MDY"}, False),
        ("SET intervalstyle = iso_8601", {"intervalstyle": "ISO_8601"}, True),
        ("SET app.name = 'X'", {"app.name": "x"}, False),
        ("SET work_mem = $1", {"work_mem": "64MB"}, False),
        ("SET jit = off", {}, False),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", {"default_transaction_read_only": "on"}, True),
        ("RESET jit", {"jit": "off"}, False),
    ],
)
def test_redundant_set(sql: str, held: dict[str, str], redundant: bool) -> None:
    (finding,) = analyse(sql, database_settings=held).findings
    assert finding.redundant == redundant
    assert ("redundant" in finding.remedy) == redundant


def test_set_local_without_value() -> None:
    """The remedy has one condition, about transactions."""
    (finding,) = analyse("SET LOCAL work_mem = $1").findings
    assert finding.remedy.startswith('if one value suits every transaction, settings={"work_mem": ...} in the database')


def test_finding_has_its_own_evidence() -> None:
    evidence = {
        sql: analyse(sql).findings[0].evidence
        for sql in ("SELECT nextval('s')", "SELECT lastval()", "SET LOCAL a.b = 1")
    }
    assert evidence["SELECT nextval('s')"] == (Evidence.DOCUMENTED, Evidence.MEASURED)
    assert evidence["SELECT lastval()"] == (Evidence.INFERRED,)
    assert evidence["SET LOCAL a.b = 1"] == (Evidence.CONFLICTING,)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("DO $$ BEGIN PERFORM set_config('a.b', 'c', false); END $$", "set_config"),
        ("do 'begin set work_mem = 1; end'", "SET"),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE t(); END $$", "TEMP"),
        ("CREATE PROCEDURE f() LANGUAGE sql BEGIN ATOMIC; SELECT CASE WHEN true THEN nextval('s') END; END", "nextval"),
    ],
)
def test_bodies_get_a_note(sql: str, names: str) -> None:
    analysis = analyse(sql)
    assert not analysis.findings
    assert not analysis.not_parsed
    (note,) = analysis.notes
    assert sql[note.start : note.end] == sql
    assert f"{names} in it does not pin" in note.message


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN UPDATE t SET a = 1; END $$",
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION f() RETURNS void LANGUAGE c AS 'lib', 'set_symbol'",
    ],
)
def test_harmless_bodies_get_no_note(sql: str) -> None:
    assert analyse(sql) == Analysis((), (), (), (), 1)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (id integer DEFAULT nextval('s'))",
        "ALTER TABLE t ALTER id SET DEFAULT nextval('s')",
        "CREATE VIEW v AS SELECT nextval('s')",
        "CREATE RULE r AS ON INSERT TO t DO ALSO SELECT nextval('s')",
    ],
)
def test_sequence_in_a_default_gets_a_note(sql: str) -> None:
    """The statement does not call it; whether the proxy distinguishes this is not known."""
    analysis = analyse(sql)
    assert not analysis.findings
    (note,) = analysis.notes
    assert sql[note.start : note.end] == "nextval('s')"
    assert "not known" in note.message


def test_invalid_statement_does_not_hide_others() -> None:
    sql = "set a.b = 1; set = é; select nextval('s'); selec 1; select (1)); set c.d = 2"
    analysis = analyse(sql)
    assert [sql[one.start : one.end] for one in analysis.findings] == ["set a.b = 1", "nextval('s')", "set c.d = 2"]
    assert [(sql[one.start : one.end], one.message) for one in analysis.not_parsed] == [
        ("set = é", 'syntax error at or near "="')
    ]
    assert analysis.statements == 6


@pytest.mark.parametrize("end", ["'", '"', "$x$", "/*", "E'\\", "U&'\\xyz'"])
def test_unterminated_text(end: str) -> None:
    """The statements before it are checked."""
    sql = f"select 'é'; set a.b = 1; set c.d = {end} abc; set e.f = 2"
    analysis = analyse(sql)
    assert sql[analysis.findings[0].start : analysis.findings[0].end] == "set a.b = 1"
    (broken,) = analysis.not_parsed
    assert sql[broken.start : broken.end].startswith("set c.d")
    assert broken.message


@pytest.mark.parametrize(("characters", "pins"), [(STATEMENT_LIMIT - 9, False), (STATEMENT_LIMIT - 8, True)])
def test_statement_size_in_bytes(characters: int, pins: bool) -> None:
    for sql in (
        "select 1; select '" + "x" * characters + "'",
        "select '" + "é" * (characters // 2) + "x" * (characters % 2) + "' ;",
    ):
        found = [one.condition.id for one in analyse(sql).findings]
        assert found == (["oversized"] if pins else [])
    many = "select 1;" * 4000
    assert analyse(many) == Analysis((), (), (), (), 4000)


def test_oversized_statement_has_other_findings_too() -> None:
    sql = "insert into t values " + ", ".join(f"(nextval('s'), '{number}', default, null)" for number in range(5000))
    found = [one.condition.id for one in analyse(sql).findings]
    assert found[0] == "oversized"
    assert found.count("sequence") == 5000


def test_nul_and_lone_surrogates_are_reported() -> None:
    """They do not shift the offsets."""
    sql = "set a.b = '\0'; select '\ud800\U0001f600', nextval('s'); set c.d = '\udfff\ud83d\ude00'"
    analysis = analyse(sql)
    assert [sql[one.start : one.end] for one in analysis.findings] == ["nextval('s')", "set c.d = '\udfff\ud83d\ude00'"]
    (broken,) = analysis.not_parsed
    assert (sql[broken.start : broken.end], "NUL" in broken.message) == ("set a.b = '\0'", True)


def test_deep_nesting() -> None:
    """The process does not crash."""
    code = """
        from cdk_pinsafe.pinning.statements import analyse
        for unit, times in [
            ("|| 1 ", 60), ("+1", 50_000), (" union all select 1", 30_000), ("::int", 30_000),
            (" join t on true", 30_000),
            ("(", 50_000), (")", 50_000), (", 1", 100_000), ("[1]", 30_000), (" is null", 30_000), ("/*", 30_000),
            ("/* a", 4_000), ("/* a", 30_000),
        ]:
            analysis = analyse("select nextval(0) from t " + unit * times)
            assert analysis.findings or analysis.not_parsed, unit
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_long_value_that_is_no_list() -> None:
    """It takes linear time."""
    for value in ("a" + " " * 200_000 + '"', " " * 200_000 + '"x', '"' * 200_001, "a," * 100_000):
        (_, finding) = analyse(f"SELECT set_config('search_path', '{value}', false)").findings
        assert isinstance(finding.value, tuple)


def test_fifty_operators_are_parsed() -> None:
    """protobuf's default depth would not suffice."""
    sql = "select nextval('s')" + " || 'x'" * 2000
    assert spans(sql) == [("sequence", "nextval('s')")]


FRAGMENTS = [sql for one in CONDITIONS for sql in (*one.pinning_examples, *one.safe_examples) if len(sql) < 1000]
NOISE = st.lists(
    st.sampled_from(
        [*FRAGMENTS, ";", "'", '"', "$$", "/*", "*/", "--", "\n", "(", ")", "é", "😀", "\0", "\ud800", "nextval('s')"]
    )
    | st.text(max_size=8),
    max_size=12,
).map(" ".join)


@given(NOISE)
@example("set a = 1; /* set a = 1 */; ; set a = 1")
def test_any_text_is_analysed_without_an_error(sql: str) -> None:
    """Every offset is in the text, in order, in its statement."""
    analysis = analyse(sql)
    for one in analysis.findings:
        assert 0 <= one.statement_start <= one.start < one.end <= one.statement_end <= len(sql)
    others = [(one.start, one.end, one.message) for one in analysis.not_parsed]
    others += [(one.start, one.end, one.message) for one in analysis.notes]
    for start, end, message in others:
        assert 0 <= start < end <= len(sql)
        assert message
    starts = [one.statement_start for one in analysis.findings]
    assert starts == sorted(starts)
    digest(sql)


@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=6), st.sampled_from(["", " /* é; */ ", "\n-- ;\n"]))
def test_findings_do_not_depend_on_other_statements(statements: list[str], between: str) -> None:
    sql = f";{between}".join(statements)
    alone = [(one.condition.id, text[one.start : one.end]) for text in statements for one in analyse(text).findings]
    assert spans(sql) == alone
    assert analyse(sql).statements == len(statements)


@given(st.sampled_from(FRAGMENTS), st.integers(0, 2))
def test_spelling_does_not_matter(statement: str, spelling: int) -> None:
    """Case, comments and white space."""
    if "'" in statement or '"' in statement:
        return
    commented = statement.replace(" ", " /* set */\n-- x\n")
    changed = (statement.upper(), commented, f"\t/* a */ {statement.lower()} ")[spelling]
    assert [one for one, _ in spans(changed)] == [one for one, _ in spans(statement)]


def test_digest() -> None:
    assert digest("SET search_path TO 'A', 'b','c'") == "set search_path to $1, $2,$3"
    assert digest("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED") == (
        "set session characteristics as transaction isolation level $1 uncommitted"
    )
    assert digest("SELECT set_config('a', 'b', true)") == "select set_config($1, $2, $3)"
    assert digest("SELECT 'abc") == "select 'abc"


NORMALISED = [
    *(sql for one in CONDITIONS for sql in one.pinning_examples if one.id != "oversized"),
    *(sql for one in CLIENTS for sql in one.statements),
    "SET TIME ZONE INTERVAL(3) '+01:00'",
    "SET TIME ZONE INTERVAL '1' HOUR; /* é */ SET LOCAL TIME ZONE INTERVAL '-1' HOUR",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE, NOT DEFERRABLE, ISOLATION LEVEL REPEATABLE READ",
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY, DEFERRABLE",
    "SET TRANSACTION SNAPSHOT '00000003-1'",
    "SET XML OPTION CONTENT",
    "SET SEED TO 0.5",
    "SET a.b = 1, 'x', y, on, -2.5",
]


@pytest.mark.parametrize("sql", NORMALISED)
def test_normalised_statement_pins_like_the_original(sql: str) -> None:
    """No value is invented."""
    text = digest(sql)
    before, after = analyse(sql), analyse(text)
    assert not after.not_parsed
    assert len(after.findings) == len(before.findings)
    for one, other in zip(before.findings, after.findings, strict=True):
        assert other.condition == one.condition
        assert other.parameter == one.parameter or other.parameter is None
        assert other.value in (one.value, None)


@pytest.mark.parametrize(
    ("sql", "parameter", "value"),
    [
        ("set time zone interval $1 hour to minute", "timezone", None),
        ("set names $1", "client_encoding", None),
        (
            "select 'é'; set transaction isolation level $1 committed, $23 only",
            "transaction_isolation",
            "read committed",
        ),
        ("set transaction isolation level $1 read", "transaction_isolation", "repeatable read"),
        ("set session characteristics as transaction $1 deferrable", "default_transaction_deferrable", "off"),
        ("set xml option $1", "xmloption", None),
        ("set transaction snapshot $1", None, None),
    ],
)
def test_value_of_a_normalised_set(sql: str, parameter: str | None, value: str | None) -> None:
    """It is known only if one word fits."""
    (finding,) = analyse(sql).findings
    assert (finding.parameter, finding.value) == (parameter, value)
    assert sql[finding.start : finding.end] == sql.split("; ")[-1]


@pytest.mark.parametrize(
    "sql",
    [
        "listen $1",
        "load $1",
        "deallocate $1",
        "execute $1",
        "declare $1 cursor for select 1",
        "discard $1",
        "reset $1",
        "set $1 to $2",
        "set x to $1 $2",
        "set time zone interval $1 fortnight",
        "set transaction isolation level $1 only",
        "set names '$1",
        "set transaction isolation level " + ", isolation level ".join(["$1"] * 200),
    ],
)
def test_name_is_not_replaced_by_a_constant(sql: str) -> None:
    """PostgreSQL's first message is reported."""
    analysis = analyse(sql)
    assert not analysis.findings
    (broken,) = analysis.not_parsed
    assert "syntax error at or near" in broken.message or "unterminated" in broken.message


@pytest.mark.parametrize(
    "character",
    [chr(code) for code in (*range(1, 9), *range(33, 48), *range(58, 65), 91, 92, 93, 94, 96, *range(123, 128))],
)
def test_invalid_characters(character: str) -> None:
    analyse(f"-- a comment, so that its tokens are looked at\n{character} SET {character}")
