r"""Replaces what psql does not send to the server, keeping the length of the text and so all positions.

Meta-commands (``\set``, ``\i``, ``\copy``, ``\if``) and the data lines after ``COPY … FROM STDIN`` and
``\copy … from stdin`` become spaces. Commands that send the statement (``\g``, ``\gexec``, ``\gset``, ``\watch``)
become semicolons. The variables ``:name``, ``:'name'`` and ``:"name"`` become ``_name``, ``'name'`` and ``"name"``.
"""

import re
from typing import Final

from .source_text import blanked

__all__ = ["without_psql"]

_NEEDED: Final = re.compile(r":(?<![:\w]:)[A-Za-z_'\"{]")
# Each alternative begins with a literal character outside its group: re searches for those many times faster.
_TOKEN: Final = re.compile(
    r"""
      - (?P<comment>   -[^\n]* )
    | / (?P<block>     \* )
    | ' (?P<escaped>   (?<=[eE]') (?<![\w$][eE]') (?: [^'\\] | \\. | '' )* (?:'|\Z) )
    | ' (?P<literal>   [^']* (?:'|\Z) )
    | " (?P<quoted>    [^"]* (?:"|\Z) )
    | \$ (?P<dollar>   (?<![\w$]\$) (?P<tag> (?:[^\W\d]\w*)? \$ ) .*? (?: \$(?P=tag) | \Z ) )
    | ; (?P<end> )
    | \\ (?P<command> )
    | : (?P<test>      \{\?\w+\} )
    | : (?P<variable>  (?<![\w\])}:]:) (?= \w | '\w+' | "\w+" ) (?!\d) )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_SENDS: Final = re.compile(r"\\(?:gx?|gset|gexec|gdesc|crosstabview|parse|sendpipeline|watch)(?![\w])")
_COMMAND: Final = re.compile(
    r"""
    \\ (?: \\ | ;
      | (?: ! | (?: copy | [es][fv] | h | help ) \b | (?: gx? | o | out | w | write ) [ \t]* \| ) [^\n]*+
      | [^\n\\'"`]*+ (?: (?: '(?: [^'\\\n] | \\[^\n] | '' )*+'? | "[^"\n]*+"? | `[^`\n]*+`? ) [^\n\\'"`]*+ )*+
    )""",
    re.VERBOSE,
)
"""Some extend to the end of the line, the others to the next unquoted backslash, as psql's manual says."""
_COPY_COMMAND: Final = re.compile(r"\\copy\b.*\bfrom\s+stdin\b", re.IGNORECASE)
_COPY_FROM_STDIN: Final = re.compile(
    r"(?>\s|--[^\n]*\n|/\*.*?\*/|\\[^\n]*)*+copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL
)
_DATA: Final = re.compile(r"[^\n]*\n(?P<data>.*?(?:^\\\.\r?$|\Z))", re.DOTALL | re.MULTILINE)
_LONGEST_COPY: Final = 20_000


def without_psql(text: str) -> str:
    """The SQL of a psql script, in a text of the same length."""
    if "\\" not in text and not _NEEDED.search(text):
        return text
    pieces: list[str] = []
    done = statement = position = 0

    def put(start: int, end: int, replacement: str) -> None:
        nonlocal done
        pieces.append(text[done:start])
        pieces.append(replacement)
        done = end

    def skip_data() -> None:
        nonlocal position
        if data := _DATA.match(text, position):
            put(data.start("data"), data.end(), blanked(data["data"]))
            position = data.end()

    while token := _TOKEN.search(text, position):
        start, position = token.span()
        match token.lastgroup:
            case "block":
                position = _block_end(text, start)
            case "variable":
                put(start, position, " " if text[position] in "'\"" else "_")
            case "test":
                put(start, position, "true".ljust(position - start))
            case "end":
                if start - statement < _LONGEST_COPY and _COPY_FROM_STDIN.match(text, statement, start):
                    skip_data()
                statement = position
            case "command":
                command = _COMMAND.match(text, start)
                assert command  # noqa: S101 # a backslash is there
                position = command.end()
                if _SENDS.match(text, start) or command[0] == r"\;":
                    put(start, position, ";".ljust(position - start))
                    statement = position
                else:
                    put(start, position, " " * (position - start))
                    if _COPY_COMMAND.match(command[0]):
                        skip_data()
    pieces.append(text[done:])
    return "".join(pieces)


def _block_end(text: str, start: int) -> int:
    """The end of a block comment; in PostgreSQL they nest."""
    depth, position = 0, start
    while edge := _COMMENT_EDGE.search(text, position):
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
        if not depth:
            return position
    return len(text)
