"""Checks the text of one file. Knows nothing of folders, options or reports."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Final

import tree_sitter

from ..pinning import statements
from ..pinning.conditions import Evidence
from .ast_context import code_context, statement_start
from .client_rules import CLIENT_RULES
from .file_types import FileType, file_type_of
from .findings import FileReport, LintFinding, Unparsed
from .fragments import PLACEHOLDERS, CodeContext, Fragment, Part, renderings
from .ignores import Ignores
from .languages import SourceTree, language_of
from .psql import without_psql
from .rules import LINT_RULES, SESSION_LEAK, UNKNOWN_IGNORE
from .senders import sender_of
from .source_file import SourceFile, without_comments
from .source_text import SourceText
from .sql_detection import begins_as_sql, is_postgres, is_unmistakable
from .strings import strings

__all__ = ["lint_text"]

_SQL_KEY: Final = re.compile(
    r"""^ [ \t]* [\w."'-]* (?: connection-?init-?sql | connection_init_sql | new-connection-sql ) ["']?
    [ \t]*+ [:=] [ \t]*+ (?P<quote>["']?+) (?P<sql>[^\n]*+)""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
"""HikariCP's and Quarkus's keys for SQL that every new connection runs."""
_PSQL_VARIABLE: Final = re.compile(r"""(?<!:):(?:(\w+)|['"](\w+)['"])""")
_COMMENTS: Final = re.compile(r"(?>\s|--[^\n]*|/\*.*?\*/)*+", re.DOTALL)
_LONGEST_LINE: Final = 500


def lint_text(path: str, text: str, settings: Mapping[str, str]) -> FileReport:
    """Find what pins in a file, by all rules; the caller applies the selection.

    Args:
        path: Its name, which decides how it is read; an unknown name is read as SQL.
        text: Its text.
        settings: The database's settings, parameter to text.
    """
    return _Check(path, text, settings).report()


class _Check:
    def __init__(self, path: str, text: str, settings: Mapping[str, str]) -> None:
        self._path = PurePath(path)
        self._source = SourceText(text)
        self._settings = settings
        self._sender = sender_of(self._path, text)
        self._ignores = Ignores(self._source)
        self._report = FileReport(path)

    def report(self) -> FileReport:
        if file_type_of(self._path) is FileType.SQL:
            self._sql_file()
        else:
            language, text = language_of(self._path), self._source.text
            tree = None if language is None else SourceTree(language, text)
            uncommented = without_comments(text, tree)
            if tree is None:
                self._sql_keys(uncommented)
            else:
                for value in strings(tree):
                    if begins_as_sql(value.parts):
                        self._string(value.parts, tree, value.node)
            self._client_rules(SourceFile(self._path, uncommented, tree))
        self._unknown_ids()
        self._report.findings.sort(key=lambda finding: (finding.start, finding.end))
        return self._report

    def _sql_file(self) -> None:
        sql = without_psql(self._source.text)
        whole = Fragment(sql, ())
        analysis = statements.analyse(sql, database_settings=self._settings, sender=self._sender)
        self._report.statements += analysis.statements
        self._not_parsed(analysis, whole)
        for finding in analysis.findings:
            self._pin(finding, whole)
        for leak in analysis.leaks:
            self._leak(leak, whole)

    def _sql_keys(self, text: str) -> None:
        """Keys of configuration files whose value is SQL."""
        for match in _SQL_KEY.finditer(text):
            start, quote = match.start("sql"), match["quote"]
            sql = match["sql"].rstrip(" \t\r").removesuffix(",").rstrip(" \t\r")
            if sql.endswith(quote):
                sql = sql.removesuffix(quote)
                self._fragment([Part(sql, start, start + len(sql))], CodeContext.SQL, start)

    def _string(self, parts: list[Part], tree: SourceTree, node: tree_sitter.Node) -> None:
        """Check a string of a program that could be SQL."""
        context = code_context(tree, node)
        if context is not CodeContext.TEXT:
            self._fragment(parts, context, statement_start(tree, node), tree.offset(node.end_byte))

    def _fragment(self, parts: list[Part], context: CodeContext, *around: int) -> None:
        """Check a text that could be SQL; an ignore comment on the lines of the offsets `around` also applies to it."""
        analysis, fragment = self._parsed(parts)
        sure = context is CodeContext.SQL
        if analysis.not_parsed:
            if sure and " " in fragment.sql.strip():
                self._report.statements += analysis.statements
                self._not_parsed(analysis, fragment)
            return
        findings = [
            finding
            for finding in analysis.findings
            if is_postgres(fragment.sql, finding) and (sure or is_unmistakable(fragment.sql, finding))
        ]
        if sure or findings or analysis.leaks:
            self._report.statements += analysis.statements
        for finding in findings:
            self._pin(finding, fragment, *map(self._line, around))
        for leak in analysis.leaks:
            self._leak(leak, fragment, *map(self._line, around))

    def _parsed(self, parts: list[Part]) -> tuple[statements.Analysis, Fragment]:
        """The first rendering of a string that the parser accepts, or else the first one."""
        first: tuple[statements.Analysis, Fragment] | None = None
        for fragment in renderings(parts):
            analysis = statements.analyse(
                fragment.sql, database_settings=self._settings, placeholders=PLACEHOLDERS, sender=self._sender
            )
            if not analysis.not_parsed:
                return analysis, fragment
            first = first or (analysis, fragment)
        assert first is not None  # noqa: S101 # there is always one rendering
        return first

    def _not_parsed(self, analysis: statements.Analysis, fragment: Fragment) -> None:
        self._report.not_parsed += [
            Unparsed(self._source.position(fragment.origin(one.start)), one.message) for one in analysis.not_parsed
        ]

    def _pin(self, finding: statements.StatementFinding, fragment: Fragment, *lines: int) -> None:
        start, end = fragment.origin(finding.start), fragment.origin(finding.end)
        first, last = self._statement(finding, fragment)
        self._add(
            finding.condition.id,
            (start, max(end, start)),
            _message(finding, fragment.sql),
            self._without_placeholders(finding.remedy, first, last),
            finding.evidence,
            {*lines, *range(self._line(first), self._line(max(last, first)) + 1)},
        )

    def _leak(self, leak: statements.Leak, fragment: Fragment, *lines: int) -> None:
        start, end = fragment.origin(leak.start), fragment.origin(leak.end)
        first, last = self._statement(leak, fragment)
        rule = SESSION_LEAK
        message = f"the function {leak.what} in the session: that does not pin, so the connection's next client gets it"
        lines = (*lines, *range(self._line(first), self._line(max(last, first)) + 1))
        self._add(rule.id, (start, max(end, start)), message, rule.remedy, rule.evidence, lines)

    def _statement(self, found: statements.StatementFinding | statements.Leak, fragment: Fragment) -> tuple[int, int]:
        """Where the statement begins and ends in the file, without the comments before it."""
        # A statement includes the comments before it; the first can be on the previous statement's line.
        lead = _COMMENTS.match(fragment.sql, found.statement_start, found.statement_end)
        return fragment.origin(lead.end() if lead else found.statement_start), fragment.origin(found.statement_end)

    def _without_placeholders(self, remedy: str, start: int, end: int) -> str:
        """The remedy, with ``...`` for values that only the running program or psql knows."""
        names = {name for found in _PSQL_VARIABLE.finditer(self._source.text, start, end) for name in found.group(1, 2)}
        texts = {f'"{name}"' for name in names if name} | {f'"_{name}"' for name in names if name} | {'"_1"'}
        for text in texts:
            remedy = remedy.replace(text, "...")
        return remedy

    def _client_rules(self, source: SourceFile) -> None:
        for rule in CLIENT_RULES:
            for start, end in rule.find(source):
                lines = range(self._line(start), self._line(end) + 1)
                self._add(rule.id, (start, end), rule.why, rule.remedy, rule.evidence, lines)

    def _unknown_ids(self) -> None:
        for unknown in self._ignores.unknown:
            message = f"there is no rule {unknown.id[:80]!r}, so the comment silences nothing"
            self._add(UNKNOWN_IGNORE.id, (unknown.start, unknown.end), message, UNKNOWN_IGNORE.remedy, (), ())

    def _add(
        self,
        rule: str,
        span: tuple[int, int],
        message: str,
        remedy: str,
        evidence: tuple[Evidence, ...],
        lines: Iterable[int],
    ) -> None:
        if self._ignores.silences(rule, lines):
            return
        start, end = self._source.position(span[0]), self._source.position(span[1])
        line = self._source.line(start[0])[:_LONGEST_LINE]
        self._report.findings.append(LintFinding(LINT_RULES[rule], start, end, message, remedy, evidence, line))

    def _line(self, offset: int) -> int:
        return self._source.position(offset)[0]


def _message(finding: statements.StatementFinding, sql: str) -> str:
    text = _FILLER.sub("…", " ".join(sql[finding.start : min(finding.end, finding.start + 1000)].split()))
    what = text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME].rstrip() + " …"
    if finding.condition.id == "oversized":
        what = f"a statement of {len(sql[finding.start : finding.end].encode()):,} bytes"
    elif finding.condition.id in ("set", "set-local") and finding.parameter and not finding.parameter.startswith("_"):
        verb = "RESET" if text[:5].upper() == "RESET" else "SET"
        what = f"{verb}{' LOCAL' if finding.condition.id == 'set-local' else ''} {finding.parameter}"
    return f"{what} {_VERDICTS[finding.evidence[0]]}"


_FILLER: Final = re.compile(r"(?<!\w)_1(?!\w)")
_LONGEST_NAME: Final = 48
_VERDICTS: Final = {
    Evidence.DOCUMENTED: "pins the session",
    Evidence.MEASURED: "pins the session",
    Evidence.LOCAL: "pins the session",
    Evidence.INFERRED: "probably pins the session: nobody has measured it",
    Evidence.CONFLICTING: "may pin the session: sources contradict each other",
    Evidence.UNVERIFIED: "may pin the session: nobody has measured it",
}
