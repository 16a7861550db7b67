"""A PostgreSQL protocol client for tests that sends and reads single messages, so that tests control the order."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Self

Message = tuple[str, bytes]

SYNC = b"S\0\0\0\x04"
FLUSH = b"H\0\0\0\x04"
TERMINATE = b"X\0\0\0\x04"
COPY_DONE = b"c\0\0\0\x04"


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack(">I", len(body) + 4) + body


def query(sql: str) -> bytes:
    return message("Q", sql.encode() + b"\0")


def parse(sql: str, name: str = "", types: Sequence[int] = ()) -> bytes:
    tail = struct.pack(">H", len(types)) + b"".join(struct.pack(">I", oid) for oid in types)
    return message("P", name.encode() + b"\0" + sql.encode() + b"\0" + tail)


def bind(statement: str = "", portal: str = "", parameters: Sequence[str | None] = ()) -> bytes:
    values = b"".join(
        struct.pack(">i", -1) if value is None else struct.pack(">i", len(value.encode())) + value.encode()
        for value in parameters
    )
    return message(
        "B",
        portal.encode()
        + b"\0"
        + statement.encode()
        + b"\0\0\0"
        + struct.pack(">H", len(parameters))
        + values
        + b"\0\0",
    )


def describe(name: str = "", kind: str = "S") -> bytes:
    return message("D", kind.encode() + name.encode() + b"\0")


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message("E", portal.encode() + b"\0" + struct.pack(">I", rows))


def close(name: str = "", kind: str = "S") -> bytes:
    return message("C", kind.encode() + name.encode() + b"\0")


def copy_data(data: bytes) -> bytes:
    return message("d", data)


def start_up(parameters: Mapping[str, str], version: int = 3 << 16) -> bytes:
    body = b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters.items()) + b"\0"
    return struct.pack(">II", len(body) + 8, version) + body


def split(data: bytes) -> tuple[list[Message], bytes]:
    """Return the complete messages in the data, and the rest."""
    found = []
    position = 0
    while len(data) - position >= 5:
        end = position + 1 + struct.unpack_from(">I", data, position + 1)[0]
        if end > len(data):
            break
        found.append((chr(data[position]), data[position + 5 : end]))
        position = end
    return found, data[position:]


def kinds(messages: Sequence[Message]) -> str:
    """Return the message types, without asynchronous messages."""
    return "".join(kind for kind, _ in messages if kind not in "NSA")


def fields(body: bytes) -> dict[str, str]:
    """Return the fields of an error."""
    return {chr(field[0]): field[1:].decode() for field in body.split(b"\0") if field}


def errors(messages: Sequence[Message]) -> list[str]:
    """Return the SQLSTATEs of the errors among the messages."""
    return [fields(body)["C"] for kind, body in messages if kind == "E"]


def rows(messages: Sequence[Message]) -> list[list[str | None]]:
    """Return the rows among the messages, as text."""
    found = []
    for kind, body in messages:
        if kind != "D":
            continue
        row: list[str | None] = []
        position = 2
        for _ in range(struct.unpack_from(">H", body)[0]):
            size = struct.unpack_from(">i", body, position)[0]
            position += 4
            row.append(None if size < 0 else body[position : position + size].decode())
            position += max(size, 0)
        found.append(row)
    return found


class Client:
    """A client socket, logged in without a password or with a clear-text password."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.parameters: dict[str, str] = {}
        self.notifications: list[tuple[str, str]] = []
        self.status = "I"

    @classmethod
    async def connect(
        cls, port: int, user: str, database: str, password: str | None = None, **parameters: str
    ) -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = cls(reader, writer)
        writer.write(start_up({"user": user, "database": database, **parameters}))
        while True:
            kind, body = await client.read()
            if kind == "S":
                name, value = body[:-1].decode().split("\0")
                client.parameters[name] = value
            elif kind == "R" and body == struct.pack(">I", 3):
                writer.write(message("p", (password or "").encode() + b"\0"))
            elif kind == "E":
                raise ConnectionRefusedError(fields(body)["M"])
            elif kind == "Z":
                return client

    async def read(self) -> Message:
        head = await self.reader.readexactly(5)
        return chr(head[0]), await self.reader.readexactly(struct.unpack_from(">I", head, 1)[0] - 4)

    async def until_ready(self, times: int = 1) -> list[Message]:
        """Read messages up to the given number of ReadyForQuery."""
        found = []
        while times:
            kind, body = await self.read()
            if kind == "A":
                channel, payload = body[4:-1].decode().split("\0")
                self.notifications.append((channel, payload))
                continue
            found.append((kind, body))
            if kind == "Z":
                self.status = body.decode()
                times -= 1
        return found

    async def request(self, *messages: bytes, times: int = 1) -> list[Message]:
        """Send messages and read up to ReadyForQuery."""
        self.writer.write(b"".join(messages))
        return await self.until_ready(times)

    async def run(self, sql: str) -> list[list[str | None]]:
        """Run a simple query that must succeed; return its rows."""
        answer = await self.request(query(sql))
        assert errors(answer) == [], [fields(body) for kind, body in answer if kind == "E"]
        return rows(answer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.abort()

    def abort(self) -> None:
        """Break the connection without Terminate."""
        self.writer.transport.abort()

    async def close(self) -> None:
        """Send Terminate and close the connection."""
        self.writer.write(TERMINATE)
        self.writer.close()
        await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def clients(port: int, user: str, database: str) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Yield a function that connects clients; they are aborted at the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect(**parameters: str) -> Client:
            return await stack.enter_async_context(await Client.connect(port, user, database, **parameters))

        yield connect
