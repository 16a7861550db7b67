"""One file's text to what is found in it. Knows nothing of folders, options or reports."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Final

import tree_sitter

from ..pinning import statements
from ..pinning.conditions import Evidence
from .client_rules import CLIENT_RULES
from .findings import FileReport, Finding, Unparsed
from .ignores import Ignores
from .judgement import begins_as_sql, is_postgres, is_unmistakable
from .kinds import Kind, kind_of
from .languages import SourceTree, language_of
from .psql import without_psql
from .rules import RULES, SESSION_LEAK, UNKNOWN_IGNORE
from .senders import sender_of
from .snippets import HOLES, Context, Part, Snippet, renderings
from .strings import strings
from .subject import Subject, without_comments
from .surroundings import context, statement_start
from .text import SourceText

__all__ = ["check"]

_SQL_KEY: Final = re.compile(
    r"""^ [ \t]* [\w."'-]* (?: connection-?init-?sql | connection_init_sql | new-connection-sql ) ["']?
    [ \t]*+ [:=] [ \t]*+ (?P<quote>["']?+) (?P<sql>[^\n]*+)""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
"""HikariCP's and Quarkus's keys for what every new connection runs."""
_PSQL_VARIABLE: Final = re.compile(r"""(?<!:):(?:(\w+)|['"](\w+)['"])""")
_COMMENTS: Final = re.compile(r"(?>\s|--[^\n]*|/\*.*?\*/)*+", re.DOTALL)
_LONGEST_LINE: Final = 500


def check(path: str, text: str, settings: Mapping[str, str]) -> FileReport:
    """What is found in a file; rules that are not selected are for the caller to leave out.

    Args:
        path: Its name, which tells how it is read; a name that tells nothing is taken for SQL.
        text: What stands in it.
        settings: What the database holds, parameter to text.
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
        kind, text = kind_of(self._path), self._source.text
        if kind is Kind.SQL:
            self._whole_file()
        else:
            language = language_of(self._path)
            tree = None if language is None else SourceTree(language, text)
            bare = without_comments(text, tree)
            if tree is None:
                self._sql_keys(bare)
            else:
                for value in strings(tree):
                    if begins_as_sql(value.parts):
                        self._string(value.parts, tree, value.node)
            self._clients(Subject(self._path, bare, tree))
        self._unknown_ids()
        self._report.findings.sort(key=lambda finding: (finding.start, finding.end))
        return self._report

    def _whole_file(self) -> None:
        sql = without_psql(self._source.text)
        whole = Snippet(sql, ())
        analysis = statements.analyse(sql, database_settings=self._settings, sender=self._sender)
        self._report.statements += analysis.statements
        self._report.not_parsed += [
            Unparsed(self._source.position(one.start), one.message) for one in analysis.not_parsed
        ]
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
                self._judge([Part(sql, start, start + len(sql))], Context.SQL, start)

    def _string(self, parts: list[Part], tree: SourceTree, node: tree_sitter.Node) -> None:
        """A string of a program that could be SQL."""
        about = context(tree, node)
        if about is not Context.PROSE:
            self._judge(parts, about, statement_start(tree, node), tree.offset(node.end_byte))

    def _judge(self, parts: list[Part], about: Context, *around: int) -> None:
        """A text that could be SQL, and where else a comment may be about it: where its statement begins, say."""
        analysis, snippet = self._read(parts)
        sure = about is Context.SQL
        if analysis.not_parsed:
            if sure and " " in snippet.sql.strip():
                self._report.statements += analysis.statements
                self._report.not_parsed += [
                    Unparsed(self._source.position(snippet.origin(one.start)), one.message)
                    for one in analysis.not_parsed
                ]
            return
        findings = [
            finding
            for finding in analysis.findings
            if is_postgres(snippet.sql, finding) and (sure or is_unmistakable(snippet.sql, finding))
        ]
        if sure or findings or analysis.leaks:
            self._report.statements += analysis.statements
        for finding in findings:
            self._pin(finding, snippet, *map(self._line, around))
        for leak in analysis.leaks:
            self._leak(leak, snippet, *map(self._line, around))

    def _read(self, parts: list[Part]) -> tuple[statements.Analysis, Snippet]:
        """The first reading of a string that the parser accepts, or the plainest one."""
        first: tuple[statements.Analysis, Snippet] | None = None
        for snippet in renderings(parts):
            analysis = statements.analyse(
                snippet.sql, database_settings=self._settings, holes=HOLES, sender=self._sender
            )
            if not analysis.not_parsed:
                return analysis, snippet
            first = first or (analysis, snippet)
        assert first is not None  # noqa: S101 # there is always one rendering
        return first

    def _pin(self, finding: statements.Finding, snippet: Snippet, *lines: int) -> None:
        start, end = snippet.origin(finding.start), snippet.origin(finding.end)
        first, last = self._statement(finding, snippet)
        self._add(
            finding.condition.id,
            (start, max(end, start)),
            _message(finding, snippet.sql),
            self._without_holes(finding.remedy, first, last),
            finding.evidence,
            {*lines, *range(self._line(first), self._line(max(last, first)) + 1)},
        )

    def _leak(self, leak: statements.Leak, snippet: Snippet, *lines: int) -> None:
        start, end = snippet.origin(leak.start), snippet.origin(leak.end)
        first, last = self._statement(leak, snippet)
        rule = SESSION_LEAK
        message = f"the function {leak.what} in the session: that does not pin, so the connection's next client gets it"
        lines = (*lines, *range(self._line(first), self._line(max(last, first)) + 1))
        self._add(rule.id, (start, max(end, start)), message, rule.remedy, rule.evidence, lines)

    def _statement(self, about: statements.Finding | statements.Leak, snippet: Snippet) -> tuple[int, int]:
        """Where the statement begins and ends in the file, without the comments before it."""
        # The comments before a statement are part of it; one may stand behind the statement before.
        lead = _COMMENTS.match(snippet.sql, about.statement_start, about.statement_end)
        return snippet.origin(lead.end() if lead else about.statement_start), snippet.origin(about.statement_end)

    def _without_holes(self, remedy: str, start: int, end: int) -> str:
        """The remedy, with ``...`` for what only the running program or psql knows."""
        names = {name for found in _PSQL_VARIABLE.finditer(self._source.text, start, end) for name in found.group(1, 2)}
        texts = {f'"{name}"' for name in names if name} | {f'"_{name}"' for name in names if name} | {'"_1"'}
        for text in texts:
            remedy = remedy.replace(text, "...")
        return remedy

    def _clients(self, subject: Subject) -> None:
        for rule in CLIENT_RULES:
            for start, end in rule.find(subject):
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
        self._report.findings.append(Finding(RULES[rule], start, end, message, remedy, evidence, line))

    def _line(self, offset: int) -> int:
        return self._source.position(offset)[0]


def _message(finding: statements.Finding, sql: str) -> str:
    text = _HOLE.sub("…", " ".join(sql[finding.start : min(finding.end, finding.start + 1000)].split()))
    what = text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME].rstrip() + " …"
    if finding.condition.id == "oversized":
        what = f"a statement of {len(sql[finding.start : finding.end].encode()):,} bytes"
    elif finding.condition.id in ("set", "set-local") and finding.parameter and not finding.parameter.startswith("_"):
        verb = "RESET" if text[:5].upper() == "RESET" else "SET"
        what = f"{verb}{' LOCAL' if finding.condition.id == 'set-local' else ''} {finding.parameter}"
    return f"{what} {_VERDICTS[finding.evidence[0]]}"


_HOLE: Final = re.compile(r"(?<!\w)_1(?!\w)")
_LONGEST_NAME: Final = 48
_VERDICTS: Final = {
    Evidence.DOCUMENTED: "pins the session",
    Evidence.MEASURED: "pins the session",
    Evidence.LOCAL: "pins the session",
    Evidence.INFERRED: "probably pins the session: nobody has measured it",
    Evidence.CONFLICTING: "may pin the session: sources contradict each other",
    Evidence.UNVERIFIED: "may pin the session: nobody has measured it",
}
