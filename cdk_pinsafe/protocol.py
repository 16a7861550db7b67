"""PostgreSQL's protocol 3.0: codes, limits, and the messages that `emulator` and `localpg` write themselves.

Source: PostgreSQL's documentation, "Frontend/Backend Protocol"; the limits are those of `src/backend/tcop/postgres.c`
and `src/include/libpq/pqcomm.h`.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = [
    "CANCEL_REQUEST",
    "FRONTEND_LIMITS",
    "GSS_REQUEST",
    "MAX_STARTUP_PACKET_LENGTH",
    "PROTOCOL_3_0",
    "SSL_REQUEST",
    "FatalError",
    "ProtocolViolation",
    "authentication",
    "backend_key_data",
    "close_statement",
    "error_fields",
    "error_response",
    "message",
    "parameter_status",
    "parse",
    "ready_for_query",
    "set_application_name",
    "startup_message",
    "startup_parameters",
]

# The protocol version or request code of a start-up packet.
PROTOCOL_3_0: Final = 3 << 16
CANCEL_REQUEST: Final = 80877102
SSL_REQUEST: Final = 80877103
GSS_REQUEST: Final = 80877104

MAX_STARTUP_PACKET_LENGTH: Final = 10_000
_SMALL_MESSAGE_LIMIT: Final = 10_000
_LARGE_MESSAGE_LIMIT: Final = 0x3FFFFFFF - 1

# The messages of a client after login: type -> maximum of the length field, as in the server.
FRONTEND_LIMITS: Final[Mapping[int, int]] = {
    ord("Q"): _LARGE_MESSAGE_LIMIT,  # Query
    ord("P"): _LARGE_MESSAGE_LIMIT,  # Parse
    ord("B"): _LARGE_MESSAGE_LIMIT,  # Bind
    ord("D"): _SMALL_MESSAGE_LIMIT,  # Describe
    ord("E"): _SMALL_MESSAGE_LIMIT,  # Execute
    ord("C"): _SMALL_MESSAGE_LIMIT,  # Close
    ord("S"): _SMALL_MESSAGE_LIMIT,  # Sync
    ord("H"): _SMALL_MESSAGE_LIMIT,  # Flush
    ord("F"): _LARGE_MESSAGE_LIMIT,  # FunctionCall
    ord("d"): _LARGE_MESSAGE_LIMIT,  # CopyData
    ord("c"): _SMALL_MESSAGE_LIMIT,  # CopyDone
    ord("f"): _SMALL_MESSAGE_LIMIT,  # CopyFail
    ord("X"): _SMALL_MESSAGE_LIMIT,  # Terminate
}


class FatalError(Exception):
    """A FATAL error: the client receives it, then its connection is closed.

    Attributes:
        sqlstate: the five characters of PostgreSQL's SQLSTATE.
        message: one line.
    """

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message

    def response(self) -> bytes:
        """Return the ErrorResponse."""
        return error_response(self.sqlstate, self.message)


class ProtocolViolation(FatalError):  # noqa: N818 - PostgreSQL's name of the condition
    """The peer sent bytes that are not protocol 3.0 (PostgreSQL's `protocol_violation`)."""

    def __init__(self, message: str) -> None:
        super().__init__("08P01", message)


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Return a message: the type byte, the length, the body."""
    return kind + struct.pack(">I", len(body) + 4) + body


def error_response(sqlstate: str, text: str, severity: str = "FATAL") -> bytes:
    """Return an ErrorResponse."""
    parts = ("S" + severity, "V" + severity, "C" + sqlstate, "M" + text)
    return message(b"E", b"".join(part.encode() + b"\0" for part in parts) + b"\0")


def error_fields(body: bytes) -> dict[str, str]:
    """Return the fields of an ErrorResponse or NoticeResponse body by their letters."""
    fields = (field for field in body.split(b"\0") if field)
    return {chr(field[0]): field[1:].decode(errors="replace") for field in fields}


def authentication(code: int, rest: bytes = b"") -> bytes:
    """Return an authentication request; code 0 is AuthenticationOk."""
    return message(b"R", struct.pack(">I", code) + rest)


def parameter_status(parameters: Mapping[str, str]) -> bytes:
    """Return a ParameterStatus for each parameter."""
    return b"".join(message(b"S", name.encode() + b"\0" + value.encode() + b"\0") for name, value in parameters.items())


def backend_key_data(process: int, key: bytes) -> bytes:
    """Return BackendKeyData; `key` has four bytes."""
    return message(b"K", struct.pack(">I", process) + key)


def ready_for_query(status: bytes = b"I") -> bytes:
    """Return ReadyForQuery."""
    return message(b"Z", status)


def parse(name: bytes, definition: bytes) -> bytes:
    """Return a Parse; `definition` is what follows the name: the query, NUL, and the parameter types."""
    return message(b"P", name + b"\0" + definition)


def close_statement(name: bytes) -> bytes:
    """Return a Close of a prepared statement."""
    return message(b"C", b"S" + name + b"\0")


def startup_message(parameters: Iterable[tuple[str, str]]) -> bytes:
    """Return a start-up message for protocol 3.0."""
    body = b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters)
    return struct.pack(">II", len(body) + 9, PROTOCOL_3_0) + body + b"\0"


def startup_parameters(body: bytes) -> dict[str, str]:
    """Parse the parameters of a start-up message, given its body after the version.

    Raises:
        ProtocolViolation: the body is not a list of pairs of NUL-terminated UTF-8 strings.
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


def set_application_name(name: str | None) -> bytes:
    """Return the body of a Query that sets, or with None resets, application_name."""
    if name is None:
        return b"RESET application_name\0"
    # The name is printable ASCII. An E'' string has the same meaning whatever standard_conforming_strings is.
    quoted = name.replace("\\", "\\\\").replace("'", "''")
    return f"SET application_name TO E'{quoted}'\0".encode()
