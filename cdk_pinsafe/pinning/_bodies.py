"""Session state that a routine's body leaves after the transaction of the client that calls it.

RDS Proxy does not look into bodies, so none of this pins: the connection's next client gets this state. This module
reads the body's tokens, because the parser does not accept PL/pgSQL. Offsets are bytes of the body.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from . import _parser
from ._parser import RefusedError, Token

TOKENS_BEFORE_STATEMENT: Final = frozenset({"", "ASCII_59", "BEGIN_P", "THEN", "ELSE", "LOOP", "ATOMIC"})
"""Kinds of tokens after which a statement of a body begins; "" is the body's start."""

_LOCKS: Final = frozenset(
    {"pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"}
)
_UNLOCKS: Final = ("pg_advisory_unlock", "pg_advisory_unlock_shared", "pg_advisory_unlock_all")
_FOR_THE_TRANSACTION: Final = frozenset({"local", "transaction", "constraints"})
_FALSE: Final = frozenset({"false", "'f'", "'false'", "'off'", "'0'", "'no'"})
_NOTHING: Final = frozenset({"''", "null"})


class _Set(NamedTuple):
    """A session-level SET or set_config: its parameter (None if not known), and whether it only removes a value."""

    start: int
    end: int
    name: str | None
    clears: bool


def leaks(body: str) -> Iterator[tuple[int, int, str]]:
    """The state that a body leaves: its start and end, and a clause such as ``leaves app.tenant set``.

    Without settings that the body restores (by RESET, or a saved value), locks that it releases, and temporary tables
    that it drops.
    """
    try:
        tokens = _parser.tokens(body)
    except RefusedError:
        return
    read = _Body(body, tokens)
    yield from sorted([*read.settings(), *read.locks(), *read.temporary_tables(), *read.channels()])


class _Body:
    def __init__(self, body: str, tokens: Sequence[Token]) -> None:
        data = body.encode()
        self._tokens = tokens
        self._words = [data[token.start : token.end].decode().lower() for token in tokens]

    def settings(self) -> Iterator[tuple[int, int, str]]:
        sets = [*self._set_configs(), *self._set_statements()]
        undone = set(self._resets())
        for one in sets:
            same = [other for other in sets if other.name == one.name]
            is_saved = len(same) > 1 and one.name is not None and self._reads(one.name)
            if not (one.clears or is_saved or one.name in undone or "all" in undone):
                yield one.start, one.end, f"leaves {one.name or 'a parameter'} set"

    def locks(self) -> Iterator[tuple[int, int, str]]:
        if any(word in self._words for word in _UNLOCKS):
            return
        for index, word in enumerate(self._words):
            if word in _LOCKS and self._is_call(index):
                yield *self._span(index, self._closing(index + 1)), f"leaves {word} held"

    def temporary_tables(self) -> Iterator[tuple[int, int, str]]:
        for index in self._starts("create"):
            end = self._statement_end(index)
            words = self._words[index:end]
            if len(words) > 2 and words[1] in ("temp", "temporary") and words[2] == "table":
                name = next((word for word in words[3:] if word not in ("if", "not", "exists")), "")
                is_dropped = "drop" in words or any(
                    name in self._words[drop : self._statement_end(drop)] for drop in self._starts("drop")
                )
                if name and not is_dropped:
                    yield *self._span(index, index + words.index(name)), f"leaves the temporary table {name}"

    def channels(self) -> Iterator[tuple[int, int, str]]:
        for index in self._starts("listen"):
            yield *self._span(index, self._statement_end(index) - 1), "leaves a LISTEN"

    def _set_configs(self) -> Iterator[_Set]:
        for index, word in enumerate(self._words):
            if word != "set_config" or not self._is_call(index):
                continue
            last = self._closing(index + 1)
            arguments = list(self._arguments(index + 2, last))
            named = {words[0]: words[2:] for words in arguments if len(words) > 2 and words[1] == "=>"}
            name, value, is_local = (
                named.get(key, arguments[position] if position < len(arguments) else [])
                for position, key in enumerate(("setting_name", "new_value", "is_local"))
            )
            if len(is_local) == 1 and is_local[0] in _FALSE:
                text = name[0][1:-1] if len(name) == 1 and name[0].startswith("'") else None
                yield _Set(*self._span(index, last), text, len(value) == 1 and value[0] in _NOTHING)

    def _set_statements(self) -> Iterator[_Set]:
        for index in self._starts("set"):
            end = self._statement_end(index)
            words = self._words[index + 1 : end]
            if words[:1] == ["session"] and words[1:2] not in (["authorization"], ["characteristics"]):
                words = words[1:]
            if words and words[0] not in _FOR_THE_TRANSACTION:
                yield _Set(*self._span(index, end - 1), _parameter(words), words[-1] == "default")
        for index in self._starts("execute"):
            # EXECUTE 'SET …' and EXECUTE format('SET …', …)
            words = self._words[index + 1 : self._statement_end(index)]
            text = next((word for word in words[:3] if word.startswith("'")), "").strip("'").split()
            if text[:1] == ["set"] and text[1:2] and text[1] not in _FOR_THE_TRANSACTION:
                name = _parameter(text[1:])
                yield _Set(*self._span(index, self._statement_end(index) - 1), name, text[-1] == "default")

    def _resets(self) -> Iterator[str]:
        for index in self._starts("reset"):
            yield "".join(self._words[index + 1 : self._statement_end(index)])
        for index in self._starts("set"):
            words = self._words[index + 1 : self._statement_end(index)]
            if words[-1:] == ["default"]:
                yield _parameter(words)

    def _reads(self, name: str) -> bool:
        return any(
            word == "current_setting" and self._words[index + 2 : index + 3] == [f"'{name}'"]
            for index, word in enumerate(self._words)
        )

    def _is_call(self, index: int) -> bool:
        """Whether this is a call of one of PostgreSQL's functions."""
        before = self._words[max(index - 2, 0) : index]
        is_own = before[-1:] != ["."] or before == ["pg_catalog", "."]
        return is_own and self._words[index + 1 : index + 2] == ["("]

    def _arguments(self, first: int, last: int) -> Iterator[list[str]]:
        depth, words = 0, list[str]()
        for word in self._words[first:last]:
            depth += (word == "(") - (word == ")")
            if word == "," and depth == 0:
                yield words
                words = []
            else:
                words.append(word)
        yield words

    def _closing(self, opening: int) -> int:
        depth = 0
        for index in range(opening, len(self._words)):
            depth += (self._words[index] == "(") - (self._words[index] == ")")
            if depth == 0:
                return index
        return len(self._words) - 1

    def _starts(self, word: str) -> Iterator[int]:
        for index, one in enumerate(self._words):
            if one == word and (self._tokens[index - 1].kind if index else "") in TOKENS_BEFORE_STATEMENT:
                yield index

    def _statement_end(self, index: int) -> int:
        words = self._words
        return next((end for end in range(index, len(words)) if words[end] == ";"), len(words))

    def _span(self, first: int, last: int) -> tuple[int, int]:
        return self._tokens[first].start, self._tokens[last].end


def _parameter(words: Sequence[str]) -> str:
    if list(words[:2]) == ["time", "zone"]:
        return "timezone"
    if list(words[:2]) in (["session", "authorization"], ["session", "characteristics"]):
        return " ".join(words[:2])
    name = ""
    for word in words:
        if word in ("to", "=") or (name and not name.endswith(".") and word != "."):
            break
        name += word
    return name
