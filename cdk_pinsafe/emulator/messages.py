"""PostgreSQL's protocol 3.0 as tables, and the few messages that the stand-in writes itself.

Source: PostgreSQL's documentation, "Frontend/Backend Protocol", and the limits of its `src/backend/tcop/postgres.c` and
`src/include/libpq/pqcomm.h`.

It must not know what a session or a pool is.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = [
    "CANCEL_REQUEST",
    "FRONTEND_LIMITS",
    "GSS_REQUEST",
    "LONGEST_START_UP",
    "PROTOCOL_3_0",
    "SSL_REQUEST",
    "ProtocolViolation",
    "Refusal",
    "authentication",
    "backend_key_data",
    "close_statement",
    "error_fields",
    "error_response",
    "message",
    "naming",
    "parameter_status",
    "parse",
    "ready_for_query",
    "start_up",
    "start_up_parameters",
]

# What stands where a start-up message has its protocol version.
PROTOCOL_3_0: Final = 3 << 16
CANCEL_REQUEST: Final = 80877102
SSL_REQUEST: Final = 80877103
GSS_REQUEST: Final = 80877104

LONGEST_START_UP: Final = 10_000
_SMALL: Final = 10_000
_LARGE: Final = 0x3FFFFFFF - 1

# What a client may send once it is logged in: type -> the longest length field. The server has the same limits.
FRONTEND_LIMITS: Final[Mapping[int, int]] = {
    ord("Q"): _LARGE,  # Query
    ord("P"): _LARGE,  # Parse
    ord("B"): _LARGE,  # Bind
    ord("D"): _SMALL,  # Describe
    ord("E"): _SMALL,  # Execute
    ord("C"): _SMALL,  # Close
    ord("S"): _SMALL,  # Sync
    ord("H"): _SMALL,  # Flush
    ord("F"): _LARGE,  # FunctionCall
    ord("d"): _LARGE,  # CopyData
    ord("c"): _SMALL,  # CopyDone
    ord("f"): _SMALL,  # CopyFail
    ord("X"): _SMALL,  # Terminate
}


class Refusal(Exception):  # noqa: N818 - it is what the client gets, not a fault of ours
    """Why a client is turned away: a FATAL error, after which its connection closes.

    Attributes:
        sqlstate: PostgreSQL's five characters.
        message: one line.
    """

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message

    def response(self) -> bytes:
        """The ErrorResponse."""
        return error_response(self.sqlstate, self.message)


class ProtocolViolation(Refusal):
    """The one answer to bytes that are not protocol 3.0."""

    def __init__(self, message: str) -> None:
        super().__init__("08P01", message)


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A message of one type byte, its length and its body."""
    return kind + struct.pack(">I", len(body) + 4) + body


def error_response(sqlstate: str, text: str, severity: str = "FATAL") -> bytes:
    """An ErrorResponse."""
    parts = ("S" + severity, "V" + severity, "C" + sqlstate, "M" + text)
    return message(b"E", b"".join(part.encode() + b"\0" for part in parts) + b"\0")


def error_fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse's or NoticeResponse's body by their letters."""
    fields = (field for field in body.split(b"\0") if field)
    return {chr(field[0]): field[1:].decode(errors="replace") for field in fields}


def authentication(code: int, rest: bytes = b"") -> bytes:
    """An authentication request, or with code 0 its success."""
    return message(b"R", struct.pack(">I", code) + rest)


def parameter_status(parameters: Mapping[str, str]) -> bytes:
    """A ParameterStatus for each parameter."""
    return b"".join(message(b"S", name.encode() + b"\0" + value.encode() + b"\0") for name, value in parameters.items())


def backend_key_data(process: int, key: bytes) -> bytes:
    """BackendKeyData; `key` has four bytes."""
    return message(b"K", struct.pack(">I", process) + key)


def ready_for_query(status: bytes = b"I") -> bytes:
    """ReadyForQuery."""
    return message(b"Z", status)


def parse(name: bytes, rest: bytes) -> bytes:
    """A Parse; `rest` is what follows the name: the statement, NUL, and the parameters' types."""
    return message(b"P", name + b"\0" + rest)


def close_statement(name: bytes) -> bytes:
    """A Close of a prepared statement."""
    return message(b"C", b"S" + name + b"\0")


def start_up(parameters: Iterable[tuple[str, str]]) -> bytes:
    """A start-up message for protocol 3.0."""
    body = b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters)
    return struct.pack(">II", len(body) + 9, PROTOCOL_3_0) + body + b"\0"


def start_up_parameters(body: bytes) -> dict[str, str]:
    """The parameters of a start-up message, from its body after the version.

    Raises:
        ProtocolViolation: it is not pairs of terminated strings, or not UTF-8.
    """
    if not body.endswith(b"\0"):
        raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte")
    fields = body[:-1].split(b"\0")
    if fields.pop() != b"" or len(fields) % 2 or b"" in fields[::2]:
        raise ProtocolViolation("invalid startup packet layout: expected pairs of names and values")
    try:
        texts = [field.decode() for field in fields]
    except UnicodeDecodeError:
        raise ProtocolViolation("invalid startup packet: a parameter is not UTF-8") from None
    return dict(zip(texts[::2], texts[1::2], strict=True))


def naming(name: str | None) -> bytes:
    """The statement that gives a connection its borrower's application_name, and its end."""
    if name is None:
        return b"RESET application_name\0"
    # Its characters are printable ASCII; this form means the same whatever standard_conforming_strings says.
    quoted = name.replace("\\", "\\\\").replace("'", "''")
    return f"SET application_name TO E'{quoted}'\0".encode()
