"""SQL in the strings of programs."""

import pytest

from cdk_pinsafe.lint.file_types import PROGRAMS
from cdk_pinsafe.lint.languages import LANGUAGES
from cdk_pinsafe.lint.linter import lint_text

# File name, code with «…» around what pins, rule.
PINS = {
    "a constant": ("a.py", 'cursor.execute("«SET x.y = 1»")', "set"),
    "implicit concatenation": ("a.py", 'execute("SELECT 1, " "«nextval(\'n\')»")', "sequence"),
    "one statement over several literals": ("a.py", 'execute("«SET a.b" " =" " 1»")', "set"),
    "a raw string": ("a.py", "execute(r'SELECT «nextval('\"'n'\"')»')", "sequence"),
    "an f-string's placeholder is a parameter": ("a.py", "execute(f'«SET LOCAL x.y = {value}»')", "set-local"),
    "an f-string's placeholder is a name": ("a.py", "execute(f'«CREATE TEMP TABLE {name}» (id int)')", "temp-object"),
    "an f-string's placeholder is a clause": (
        "a.py",
        "execute(f\"SELECT «nextval('n')» FROM t {where} LIMIT 1\")",
        "sequence",
    ),
    "%s": ("a.py", 'cur.execute("SELECT «set_config(%s, %s, true)»", (a, b))', "set-config"),
    "%(name)s": ("a.py", 'cur.execute("SELECT «pg_advisory_lock(%(key)s)»", d)', "advisory-lock"),
    ":name and text()": (
        "a.py",
        'import sqlalchemy as sa\nc.execute(sa.text("SELECT «pg_advisory_lock(:key)»"))',
        "advisory-lock",
    ),
    "{} and psycopg.sql": ("a.py", 'cur.execute(sql.SQL("«LISTEN {}»").format(sql.Identifier(x)))', "listen"),
    "Django's RunSQL, a list": ("a.py", 'operations = [migrations.RunSQL(["SELECT 1", "«DISCARD ALL»"])]', "discard"),
    "% and format": ("a.py", 'execute("«SET search_path TO %s»" % schema)', "set"),
    "+": ("a.py", 'execute("«SET " + name + " = 1»")', "set"),
    "a name that says SQL": ("a.py", 'RESET_QUERY = "«reset all»"', "set"),
    "a keyword that says SQL": ("a.py", 'pool(reset_query="«discard all»")', "discard"),
    "nothing around it but SQL in capitals": ("a.py", 'first = "«SET search_path TO app»"', "set"),
    "nothing around it but a semicolon": ("a.py", 'first = "«listen jobs»;"', "listen"),
    "nothing around it but a longer statement": ("a.py", "first = \"select «nextval('n')»\"", "sequence"),
    "a triple-quoted string": ("a.py", 'q = """\n  -- é\n  SELECT «setval(\'n\', 1)»\n"""', "sequence"),
    "a wrapped text": ("a.py", 'cur.execute(dedent("""\n    «LOAD \'x\'»\n    """))', "load"),
    "JavaScript": ("a.js", 'await client.query("«SET search_path TO app»")', "set"),
    "JavaScript, an object": ("a.mjs", 'client.query({text: "«LISTEN jobs»", name: "x"})', "listen"),
    "JavaScript, a tag": ("a.cjs", "await sql`SELECT «pg_advisory_lock(${id})»`", "advisory-lock"),
    "JSX": ("a.jsx", "const a = <b onClick={() => db.query('«DISCARD ALL»')}>Reset all</b>", "discard"),
    "TypeScript": ("a.ts", "await this.pool.query<Row>(`«SET x.y = ${value as string}»`)", "set"),
    "TypeScript, Prisma": ("a.ts", "await prisma.$executeRawUnsafe('«SET x.y = 1»')", "set"),
    "TypeScript, a property": ("a.mts", "class A { private readonly resetQuery = '«RESET ALL»' }", "set"),
    "TSX": ("a.tsx", "const a = <b c={sql`«LISTEN x»`} />", "listen"),
    "Java": ("A.java", 'class A { void f() { st.execute("«SET x.y = 1»"); } }', "set"),
    "Java, a text block": ("A.java", 'class A { String f = """\n    SELECT «nextval(\'n\')»\n    """; }', "sequence"),
    "Java, ? and +": (
        "A.java",
        'class A { void f() { c.prepareStatement("SELECT " + "«set_config(?, ?, false)»"); } }',
        "set-config",
    ),
    "Java, an annotation": (
        "A.java",
        "interface A { @NativeQuery(\"SELECT «nextval('n')»\") long next(); }",
        "sequence",
    ),
    "Go, a raw string": ("a.go", "package a\nfunc f() { db.ExecContext(ctx, `\n«LISTEN jobs»`) }", "listen"),
    "Go, Sprintf": ("a.go", 'package a\nfunc f() { db.Exec(fmt.Sprintf("«SET x.y = %q»", v)) }', "set"),
    "Ruby": ("a.rb", 'connection.execute("«SET statement_timeout = #{n}»")', "set"),
    "Ruby, a heredoc": ("a.rb", "execute <<~SQL\n  «CREATE TEMP TABLE x» (id int);\nSQL\n", "temp-object"),
    "Ruby, a heredoc with a call": ("a.rake", "q(execute(<<-SQL.squish))\n  SELECT «nextval('n')»\nSQL\n", "sequence"),
    "Ruby, two heredocs": ("a.rb", "f(<<~A, execute(<<~B))\n  set x to y\nA\n  «LISTEN x»\nB\n", "listen"),
    "Ruby, adjacent literals": ("a.rb", "execute 'SELECT ' \\\n  \"«nextval('n')»\"", "sequence"),
}


@pytest.mark.parametrize("name", PINS)
def test_sql_in_programs_is_found(name: str) -> None:
    path, marked, rule = PINS[name]
    code = marked.replace("«", "").replace("»", "")
    report = lint_text(path, code, {})
    assert [one.rule.id for one in report.findings] == [rule]
    [finding] = report.findings
    start, end = marked.index("«"), marked.index("»") - 1
    assert (offset(code, finding.start), offset(code, finding.end)) == (start, end)
    assert report.not_parsed == []


NO_SQL = {
    "prose that does not parse": ("a.py", 'execute("set the table"); x = "Load balancing"; y = "listen to me"'),
    "prose that parses": ("a.py", 'x = ["Reset password", "listen here", "Execute order", "set x to y", "reset all"]'),
    "in capitals, of no parameter": ("a.py", 'x = "SET x TO y"'),
    "a log message": ("a.py", 'logger.info("SET search_path TO app"); self.log.debug("RESET ALL;")'),
    "a log message in JavaScript": ("a.js", 'console.log("SET search_path TO app;")'),
    "a log message in Go": ("a.go", 'package a\nfunc f() { log.Printf("SET search_path TO %s", x) }'),
    "a log message in Java": ("A.java", 'class A { void f() { log.info("DISCARD ALL;"); } }'),
    "a log message in Ruby": ("a.rb", 'logger.info "SET search_path TO app"; puts "RESET ALL;"'),
    "an exception": ("a.py", 'raise ValueError("SET search_path TO app")\nassert x, "RESET ALL;"'),
    "an exception in JavaScript": ("a.ts", 'throw new Error("SET search_path TO app")'),
    "a docstring": ("a.py", '"""SET search_path TO app"""\ndef f():\n    "RESET ALL;"\n'),
    "a comment": ("a.py", "# SET search_path TO app;\n"),
    "a test's name": ("a.ts", 'it("SET search_path TO app", () => {}); expect(q).toBe("RESET ALL;")'),
    "help": ("a.py", 'parser.add_argument("--x", help="SET search_path TO app;")'),
    "markup": ("a.tsx", 'const a = <b title="Reset all">SET search_path TO app;</b>'),
    "what is translated": ("a.py", 'x = _("RESET ALL;")'),
    "a label in a structure that is named after SQL": ("a.js", "const sqlOps = [{name: 'Execute query'}]"),
    "a piece of an UPDATE": ("a.ts", "parts.push(`SET ${column} = ${value}`, `SET ${column} = 'x'`)"),
    "a piece of a CREATE FUNCTION": ("a.js", "options.push(`SET ${name} FROM CURRENT`)"),
    "MySQL": ("a.py", 'cur.execute("SET foreign_key_checks = 0"); cur.execute("SET SESSION time_zone = \'+00:00\'")'),
    "Oracle": ("a.py", 'cur.execute("EXECUTE IMMEDIATE")'),
    "a long text that begins like SQL": ("a.py", f'x = "With {"great " * 4000}power"'),
    "SQL that does not pin": (
        "a.py",
        'execute("SELECT pg_advisory_xact_lock(1)"); execute("UPDATE t SET a = 1"); execute("ALTER ROLE a SET b = 1")',
    ),
    "SQL that is quoted in SQL": ("a.py", "execute(\"SELECT 'nextval(1)'\")"),
}


@pytest.mark.parametrize("name", NO_SQL)
def test_text_like_sql_is_not_found(name: str) -> None:
    path, code = NO_SQL[name]
    assert lint_text(path, code, {}).findings == []


def test_sql_in_a_placeholder_is_found() -> None:
    report = lint_text("a.js", "html`<b>${db.query('LISTEN jobs')}</b>`", {})
    assert [(one.rule.id, one.start) for one in report.findings] == [("listen", (1, 21))]


def test_placeholder_is_not_a_value() -> None:
    """The message shows … and the remedy ...."""
    [finding] = lint_text("a.py", 'execute(f"SET search_path TO {schema}")', {}).findings
    assert 'settings={"search_path": ...}' in finding.remedy or 'settings={"search_path": [...]}' in finding.remedy
    [finding] = lint_text("a.py", 'execute(f"LISTEN {channel}")', {}).findings
    assert finding.message == "LISTEN … pins the session"


QUOTED_PLACEHOLDERS = {
    "%s": ("a.py", "execute(\"SET work_mem = '%s'\" % size)"),
    "%dMB": ("a.go", "package a\nfunc f() { db.Exec(fmt.Sprintf(\"SET work_mem = '%dMB'\", n)) }"),
    "{}": ("a.py", "execute(\"SET work_mem = '{}MB'\".format(size))"),
    "an f-string": ("a.py", "execute(f\"SET work_mem = '{size}MB'\")"),
    "a template": ("a.ts", "db.query(`SET work_mem = '${size}MB'`)"),
    "a sum": ("A.java", 'class A { void f() { st.execute("SET work_mem = \'" + n + "MB\'"); } }'),
    "Ruby": ("a.rb", "execute(\"SELECT set_config('work_mem', '#{n}MB', false)\")"),
}


@pytest.mark.parametrize("name", QUOTED_PLACEHOLDERS)
def test_quoted_placeholder_is_not_a_value(name: str) -> None:
    [finding] = lint_text(*QUOTED_PLACEHOLDERS[name], {"work_mem": "%sMB"}).findings
    assert finding.remedy.startswith('if one value suits every session, settings={"work_mem": ...} in the database')


def test_constant_like_a_placeholder_is_a_value() -> None:
    """No driver fills a placeholder within quotes."""
    [finding] = lint_text("a.py", "execute(\"SET pgaudit.role = 'node_1 100% :x what?'\")", {}).findings
    assert 'settings={"pgaudit.role": "node_1 100% :x what?"}' in finding.remedy


def test_unparsed_sql_is_counted() -> None:
    """Only where the code runs it as SQL."""
    report = lint_text("a.py", 'execute("SET x =")\nq = "SET x ="\nexecute("SELECT 1")\nw = "set"', {})
    assert [one.start for one in report.not_parsed] == [(1, 10)]
    assert report.statements == 2


def test_oversized_statement() -> None:
    """The limit of 16 KB counts bytes."""
    code = f"execute(\"SELECT '{'é' * 8192}'\")"
    [finding] = lint_text("a.py", code, {}).findings
    assert finding.rule.id == "oversized"
    assert finding.message == "a statement of 16,393 bytes pins the session"


def test_syntax_errors_do_not_hide_sql() -> None:
    code = 'def f(:\n  execute("LISTEN x")\nprint "old"\nexecute("LISTEN y")'
    assert [one.start[0] for one in lint_text("a.py", code, {}).findings] == [2, 4]


def test_columns_count_characters() -> None:
    [finding] = lint_text("a.py", 'é = "😀"; execute("é", "LISTEN x")', {}).findings
    assert finding.start == (1, 24)


def test_programs_are_the_suffixes_of_the_languages() -> None:
    assert {suffix for language in LANGUAGES for suffix in language.suffixes} == PROGRAMS


def offset(text: str, place: tuple[int, int]) -> int:
    line, column = place
    return sum(len(one) for one in text.splitlines(keepends=True)[: line - 1]) + column - 1
