"""The protocol without sockets: data can come in any pieces, and invalid data gives one kind of error."""

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdk_pinsafe.emulator.authentication import ScramClient
from cdk_pinsafe.emulator.backend_login import BackendInfo, backend_handshake
from cdk_pinsafe.emulator.connection import DatabaseConnection
from cdk_pinsafe.emulator.events import Observer
from cdk_pinsafe.emulator.frontend_login import (
    Authentication,
    ClientLogin,
    LoginRules,
    PoolKey,
    frontend_handshake,
)
from cdk_pinsafe.emulator.handshake import HandshakeRunner, NoStartUpError
from cdk_pinsafe.emulator.prepared_statements import MAX_KEPT_BYTES
from cdk_pinsafe.emulator.session import ClientSession
from cdk_pinsafe.emulator.shared import SharedState
from cdk_pinsafe.protocol import FatalError, ProtocolViolation

from .wire import (
    COPY_DONE,
    FLUSH,
    SYNC,
    TERMINATE,
    bind,
    close,
    copy_data,
    describe,
    execute,
    message,
    parse,
    query,
    split,
    start_up,
)

Feed = Callable[[bytes], Iterator[bytes]]
MAX_BUFFERED = 300_000  # bytes: a statement within the limit, with the maximum number of parameter types


def whole(data: bytes) -> Iterator[bytes]:
    if data:  # a socket never delivers an empty piece
        yield data


def by_bytes(data: bytes) -> Iterator[bytes]:
    return (data[position : position + 1] for position in range(len(data)))


def in_odd_pieces(data: bytes) -> Iterator[bytes]:
    sizes = itertools.cycle([3, 1, 17, 5, 200])
    position = 0
    while position < len(data):
        size = next(sizes)
        yield data[position : position + size]
        position += size


def feed_all(receive: Callable[[bytes], object], pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        receive(piece)


FEEDS = [whole, by_bytes, in_odd_pieces]


class ProtocolHarness:
    """A session with one connection, whose ends are lists of bytes."""

    def __init__(self, *, legacy: bool = False) -> None:
        self.to_client = bytearray()
        self.to_database = bytearray()
        self.released = 0
        self.available = True
        key = PoolKey("app", "shop")
        self.connection = DatabaseConnection(1, key, BackendInfo(), self.to_database.extend)
        self.connection.release = self._release
        shared = SharedState(Observer(), legacy=legacy)
        self.session = ClientSession(1, ClientLogin(key, None, None), shared, self._lend, self.to_client.extend)

    def _lend(self, session: ClientSession) -> DatabaseConnection | None:
        return self.connection if self.available else None

    def _release(self, connection: DatabaseConnection) -> None:
        self.released += 1
        connection.session = None
        self.session.connection = None

    @property
    def buffered(self) -> int:
        return len(self.session._buffer)


READY = message("Z", b"I")
IN_TRANSACTION = message("Z", b"T")
FAILED = message("E", b"SERROR\0VERROR\0C22012\0Mdivision by zero\0\0")
PARSED, BOUND, CLOSED, NO_DATA = message("1"), message("2"), message("3"), message("n")
ROW = message("T", b"\0\0") + message("D", b"\0\0")
DONE = message("C", b"SELECT 1\0")


@dataclass(frozen=True)
class Exchange:
    """Messages between a client, the emulator and the database.

    Attributes:
        sent: what the client sends.
        responses: what the database responds.
        forwarded: what the database receives; None if it is `sent`.
        received: what the client receives; None if it is `responses`.
        released: the connection is released in the end.
    """

    sent: bytes
    responses: bytes
    forwarded: bytes | None = None
    received: bytes | None = None
    released: bool = True

    @property
    def to_database(self) -> bytes:
        return self.sent if self.forwarded is None else self.forwarded

    @property
    def to_client(self) -> bytes:
        return self.responses if self.received is None else self.received


EXCHANGES: dict[str, Exchange] = {
    "simple query": Exchange(
        sent=query("SELECT 1"),
        responses=ROW + DONE + READY,
    ),
    "transaction": Exchange(
        sent=query("BEGIN"),
        responses=DONE + IN_TRANSACTION,
        released=False,
    ),
    "two queries": Exchange(
        sent=query("SELECT 1") + query("SELECT 2"),
        responses=DONE + READY + DONE + READY,
    ),
    "unnamed statement": Exchange(
        sent=parse("SELECT 1") + bind() + describe("", "P") + execute() + SYNC,
        responses=PARSED + BOUND + NO_DATA + DONE + READY,
    ),
    "named statement": Exchange(
        sent=parse("SELECT $1", "s", [23]) + describe("s") + bind("s", "p", ["1"]) + execute("p") + close("s") + SYNC,
        responses=PARSED + message("t", b"\0\0") + ROW + BOUND + DONE + CLOSED + READY,
    ),
    "no Sync yet": Exchange(
        sent=parse("SELECT 1") + describe() + FLUSH,
        responses=PARSED + message("t", b"\0\0") + ROW,
        released=False,
    ),
    "duplicate name": Exchange(
        sent=parse("SELECT 1", "s") + SYNC + parse("SELECT 2", "s") + SYNC,
        responses=PARSED + READY + FAILED + READY,
    ),
    "unknown statement": Exchange(
        sent=bind() + execute() + SYNC,
        responses=FAILED + READY,
    ),
    "COPY as libpq sends it": Exchange(
        sent=parse("COPY t FROM STDIN") + bind() + execute() + SYNC,
        responses=PARSED + BOUND + message("G", b"\0\0\0"),
        released=False,
    ),
    "function call": Exchange(
        sent=message("F", b"\0" * 12),
        responses=message("V", b"") + READY,
    ),
    "messages without a response": Exchange(
        sent=FLUSH + COPY_DONE + copy_data(b"late"),
        forwarded=b"",
        responses=b"",
        released=False,
    ),
    "pin with statements prepared": Exchange(
        sent=parse("SELECT 1", "s") + SYNC + query("SET a.b = 1") + bind("s") + SYNC,
        responses=PARSED + READY + DONE + READY + BOUND + READY,
        released=False,
    ),
    "Query in a batch": Exchange(
        sent=parse("SELECT 1") + query("SELECT 2") + SYNC,
        forwarded=parse("SELECT 1") + close() + query("SELECT 2") + SYNC,
        responses=PARSED + CLOSED + DONE + READY + READY,
        received=PARSED + DONE + READY + READY,
    ),
    "Query skipped after an error": Exchange(
        sent=parse("wrong") + query("SET a.b = 1") + SYNC,
        forwarded=parse("wrong") + close() + query("SET a.b = 1") + SYNC,
        responses=FAILED + READY,
        released=False,
    ),
}


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", EXCHANGES)
def test_data_in_any_pieces(name: str, feed: Feed) -> None:
    """Both sides can send messages whole, byte by byte, or several at once."""
    exchange = EXCHANGES[name]
    harness = ProtocolHarness()
    for piece in feed(exchange.sent):
        harness.session.receive(piece)
    assert bytes(harness.to_database) == exchange.to_database
    for piece in feed(exchange.responses):
        harness.connection.receive(piece)
    assert bytes(harness.to_client) == exchange.to_client
    assert bool(harness.released) == exchange.released
    assert (harness.session.connection is None) == (exchange.released or not exchange.to_database)


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", EXCHANGES)
def test_incomplete_message_is_buffered(name: str, feed: Feed) -> None:
    """The beginning of the next message changes nothing and is buffered until the message is complete."""
    exchange = EXCHANGES[name]
    harness = ProtocolHarness()
    trailing = query("SELECT 'trailing'")[:-3]
    for piece in feed(exchange.sent + trailing):
        harness.session.receive(piece)
    assert bytes(harness.to_database) == exchange.to_database
    assert harness.buffered == len(trailing)
    for piece in feed(exchange.responses):
        harness.connection.receive(piece)
    assert bytes(harness.to_client) == exchange.to_client


@pytest.mark.parametrize("feed", FEEDS)
def test_copy_ignores_sync(feed: Feed) -> None:
    """A Sync before the database requests data gets no response; the Sync after the data does."""
    harness = ProtocolHarness()
    harness.session.receive(parse("COPY t FROM STDIN") + bind() + execute() + SYNC)
    harness.connection.receive(PARSED + BOUND + message("G", b"\0\0\0"))
    for piece in feed(copy_data(b"a\n") + SYNC + FLUSH + copy_data(b"x" * 1000) + COPY_DONE + SYNC):
        harness.session.receive(piece)
    assert harness.released == 0
    harness.connection.receive(DONE + READY)
    assert harness.released == 1


def test_request_during_copy_is_rejected() -> None:
    """The database would take the request for data and send fewer responses than expected."""
    for request in (query("SELECT 1"), parse("SELECT 1") + SYNC):
        harness = ProtocolHarness()
        harness.session.receive(query("COPY t FROM STDIN"))
        harness.connection.receive(message("G", b"\0\0\0"))
        with pytest.raises(ProtocolViolation):
            harness.session.receive(request)
        harness = ProtocolHarness()
        harness.session.receive(query("COPY t FROM STDIN") + request)
        with pytest.raises(ProtocolViolation):
            harness.connection.receive(message("G", b"\0\0\0"))


def test_error_skips_rest_of_batch() -> None:
    """Statements that later messages of the batch would have prepared or closed are as before."""
    harness = ProtocolHarness()
    harness.session.receive(parse("SELECT 1", "kept") + SYNC)
    harness.connection.receive(PARSED + READY)
    harness.session.receive(bind("kept") + parse("SELECT 2", "new") + close("kept") + SYNC)
    harness.connection.receive(FAILED + READY)
    del harness.to_database[:]
    harness.session.receive(bind("kept") + execute() + bind("new") + SYNC)
    assert bytes(harness.to_database) == bind("kept") + execute() + bind("new") + SYNC


def test_statement_is_prepared_within_batch() -> None:
    """On another connection a statement is prepared before the message that needs it; the client does not notice."""
    harness = ProtocolHarness()
    harness.session.receive(parse("SELECT 1", "s") + SYNC)
    harness.connection.receive(PARSED + READY)
    harness.connection.prepared.clear()  # as on another connection
    del harness.to_database[:], harness.to_client[:]
    harness.session.receive(bind("s") + execute() + SYNC)
    assert bytes(harness.to_database) == parse("SELECT 1", "s") + bind("s") + execute() + SYNC
    harness.connection.receive(PARSED + BOUND + DONE + READY)
    assert bytes(harness.to_client) == BOUND + DONE + READY
    assert harness.released == 2


def test_large_messages_are_streamed() -> None:
    """A parameter, COPY data or an oversized statement of 64 MB is never buffered whole."""
    size = 64 << 20
    for head in (
        b"Q" + struct.pack(">I", size) + b"SELECT '",
        b"P" + struct.pack(">I", size) + b"\0SELECT '",
        b"P" + struct.pack(">I", size) + b"name\0SELECT '",
        b"B" + struct.pack(">I", size) + b"\0\0\0\0\0\1",
        b"d" + struct.pack(">I", size),
    ):
        harness = ProtocolHarness()
        harness.session.receive(query("COPY t FROM STDIN"))
        if head[:1] == b"d":
            harness.connection.receive(message("G", b"\0\0\0"))
        else:
            harness.connection.receive(DONE + READY)
        passed = 0
        harness.session.receive(head)
        for _ in range(size // (1 << 16) - 1):
            harness.session.receive(b"x" * (1 << 16))
            passed += len(harness.to_database)
            del harness.to_database[:]
            assert harness.buffered <= MAX_BUFFERED
        assert passed >= size - (1 << 16) - MAX_BUFFERED


def test_messages_of_waiting_client_are_kept() -> None:
    """Messages that a client sends while it waits for a connection are forwarded once it has one."""
    harness = ProtocolHarness()
    harness.available = False
    harness.session.receive(query("SELECT 1"))
    assert harness.session.waiting
    harness.session.receive(query("SELECT 2"))
    assert bytes(harness.to_database) == b""
    harness.session.connection_granted(harness.connection)
    assert bytes(harness.to_database) == query("SELECT 1") + query("SELECT 2")


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("impossible", [b"Z\0\0\0\0I", b"Z\0\0\0\4", b"Z\0\0\0\6II", b"C\0\0\0\3", b"E\0\0\0\0"])
def test_invalid_responses_are_rejected(impossible: bytes, feed: Feed) -> None:
    """A message that no PostgreSQL sends is a protocol violation."""
    for request in (query("SELECT 1"), bind() + execute() + SYNC):
        harness = ProtocolHarness()
        harness.session.receive(request)
        with pytest.raises(ProtocolViolation):
            feed_all(harness.connection.receive, feed(impossible + READY))


def test_client_exceeding_statement_memory_is_rejected() -> None:
    """A client that prepares without limit gets PostgreSQL's program_limit_exceeded."""
    harness = ProtocolHarness()

    def prepare() -> None:
        for number in range(10_000):
            harness.session.receive(parse("SELECT '" + "x" * 16_000 + "'", f"s{number}") + SYNC)
            harness.connection.receive(PARSED + READY)
            del harness.to_database[:], harness.to_client[:]
            assert harness.session.statements.kept_bytes <= MAX_KEPT_BYTES

    with pytest.raises(FatalError) as raised:
        prepare()
    assert raised.value.sqlstate == "54000"


def test_closed_statements_do_not_count() -> None:
    """A client that closes what it prepares can continue without limit."""
    harness = ProtocolHarness()
    for _ in range(MAX_KEPT_BYTES // 16_000 + 10):
        harness.session.receive(parse("SELECT '" + "x" * 16_000 + "'", "s") + close("s") + SYNC)
        harness.connection.receive(PARSED + CLOSED + READY)
    assert harness.session.statements.kept_bytes == 0


MALFORMED = {
    "unknown type": message("!"),
    "password after login": message("p", b"secret\0"),
    "too short": b"Q\0\0\0\3",
    "overlong Sync": b"S" + struct.pack(">I", 10_001),
    "overlong Query": b"Q\x7f\xff\xff\xff",
    "negative length": b"Q\xff\xff\xff\xff",
    "Query without end": message("Q", b"SELECT 1"),
    "Query with a NUL": message("Q", b"SELECT\0 1\0"),
    "Parse without names": message("P", b"abc"),
    "Parse without statement": message("P", b"name\0SELECT 1"),
    "Parse of endless name": b"P\0\1\0\0" + b"n" * 20_000,
    "Parse with endless types": b"P\0\x10\0\0name\0SELECT 1\0" + b"t" * 100,
    "Bind without names": message("B", b"abc"),
    "Bind of endless name": b"B\0\1\0\0" + b"n" * 20_000,
    "Describe of nothing": message("D"),
    "Describe of something else": message("D", b"Xname\0"),
    "Describe with more": message("D", b"Sname\0more"),
    "Close without end": message("C", b"Sname"),
    "Execute without limit": message("E", b"portal\0"),
    "Execute with more": message("E", b"portal\0\0\0\0\0\0"),
}


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_messages_are_rejected(name: str, feed: Feed) -> None:
    """Data that is not protocol 3.0 gives SQLSTATE 08P01, whatever pieces it comes in."""
    harness = ProtocolHarness()
    with pytest.raises(ProtocolViolation) as raised:
        feed_all(harness.session.receive, feed(MALFORMED[name] + SYNC))
    assert raised.value.sqlstate == "08P01"


VALID = [exchange.sent for exchange in EXCHANGES.values()] + [TERMINATE]
RESPONSES = [exchange.responses for exchange in EXCHANGES.values()]


@st.composite
def mangled(draw: st.DrawFn, source: list[bytes]) -> bytes:
    """Messages with some bytes changed, removed or inserted."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(source), min_size=1, max_size=6))))
    for _ in range(draw(st.integers(0, 6))):
        position = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.integers(0, 2))
        if kind == 0 and data:
            data[position] = draw(st.integers(0, 255))
        elif kind == 1:
            del data[position : position + draw(st.integers(1, 8))]
        else:
            data[position:position] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(min_size=1, max_size=300), mangled(VALID)), st.sampled_from(FEEDS), mangled(RESPONSES))
def test_fuzzed_clients(data: bytes, feed: Feed, answers: bytes) -> None:
    """Any client data is accepted or rejected with one exception, and the buffer stays small."""
    harness = ProtocolHarness()
    try:
        for piece in feed(data):
            harness.session.receive(piece)
            assert harness.buffered <= MAX_BUFFERED
        if harness.session.connection is not None and answers:
            for piece in feed(answers):
                harness.connection.receive(piece)
    except ProtocolViolation:
        pass


LOGIN = start_up({"user": "app", "database": "shop"})


def rules(authentication: Authentication = Authentication.SCRAM) -> LoginRules:
    return LoginRules(authentication, {"app": "secret"}, tls=False)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        mangled([LOGIN, message("p", b"secret\0"), struct.pack(">II", 8, 80877103)]),
    ),
    st.sampled_from(FEEDS),
    st.sampled_from(list(Authentication)),
)
def test_fuzzed_logins(data: bytes, feed: Feed, authentication: Authentication) -> None:
    """Any data at login is accepted or rejected with one exception."""
    handshake = HandshakeRunner(frontend_handshake(rules(authentication)), lambda _: None)
    error: FatalError | None = None
    try:
        feed_all(handshake.receive, feed(data))
    except FatalError as raised:
        error = raised
    if error is not None and not isinstance(error, NoStartUpError):
        assert split(error.response())[0][0][0] == "E"


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        mangled([message("R", b"\0\0\0\0"), READY, FAILED, message("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")]),
    ),
    st.sampled_from(FEEDS),
)
def test_fuzzed_databases(data: bytes, feed: Feed) -> None:
    """Any data from a database at login is accepted or rejected with one exception."""
    handshake = HandshakeRunner(
        backend_handshake(PoolKey("app", "shop"), "secret", request_tls=False, require_tls=False), lambda _: None
    )
    try:
        for piece in feed(data):
            handshake.receive(piece)
    except FatalError:
        pass


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("authentication", list(Authentication))
def test_login_in_any_pieces(authentication: Authentication, feed: Feed) -> None:
    """Each authentication method works whatever pieces the messages come in."""
    sent = bytearray()
    handshake = HandshakeRunner(frontend_handshake(rules(authentication)), sent.extend)

    def feed_login(data: bytes) -> list[tuple[str, bytes]]:
        del sent[:]
        for piece in feed(data):
            handshake.receive(piece)
        return split(bytes(sent))[0]

    answers = feed_login(struct.pack(">II", 8, 80877103))  # SSLRequest
    assert bytes(sent) == b"N"
    answers = feed_login(LOGIN)
    if authentication is Authentication.SCRAM:
        scram = ScramClient("secret")
        first = scram.first().encode()
        answers = feed_login(message("p", b"SCRAM-SHA-256\0" + struct.pack(">I", len(first)) + first))
        answers = feed_login(message("p", scram.final(answers[0][1][4:].decode()).encode()))
        scram.verify(answers[0][1][4:].decode())
    elif authentication is Authentication.PASS_THROUGH:
        feed_login(message("p", b"secret\0"))
    elif authentication is Authentication.MD5:
        from cdk_pinsafe.emulator.authentication import md5_response

        feed_login(message("p", md5_response("app", "secret", answers[0][1][4:]).encode() + b"\0"))
    assert handshake.done
    assert isinstance(handshake.result, ClientLogin)
    assert handshake.result.key == PoolKey("app", "shop")
    assert handshake.result.password == "secret"
    assert "secret" not in repr(handshake.result)
