"""The machine without sockets: pieces do not matter, and there is one kind of refusal for what is no protocol."""

import itertools
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdk_pinsafe.emulator.authentication import ScramClient
from cdk_pinsafe.emulator.connection import DatabaseConnection
from cdk_pinsafe.emulator.conversation import Talk
from cdk_pinsafe.emulator.database_login import DatabaseLogin, database_login
from cdk_pinsafe.emulator.events import Observer
from cdk_pinsafe.emulator.login import (
    Authentication,
    ClientRules,
    Key,
    Login,
    client_login,
)
from cdk_pinsafe.emulator.messages import ProtocolViolation, Refusal
from cdk_pinsafe.emulator.prepared import LONGEST_KEPT
from cdk_pinsafe.emulator.session import Session
from cdk_pinsafe.emulator.surroundings import Surroundings

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
MOST_HELD = 300_000  # bytes: a statement that does not pin, with as many types as a message can have


def whole(data: bytes) -> Iterator[bytes]:
    if data:  # a socket gives no empty piece
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


def take(receive: Callable[[bytes], object], pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        receive(piece)


FEEDS = [whole, by_bytes, in_odd_pieces]


class House:
    """A session with one connection, whose ends are lists of bytes."""

    def __init__(self, *, legacy: bool = False) -> None:
        self.to_client = bytearray()
        self.to_database = bytearray()
        self.freed = 0
        self.lent = True
        key = Key("app", "shop")
        self.connection = DatabaseConnection(1, key, DatabaseLogin(), self.to_database.extend)
        self.connection.free = self._free
        names = (f"n{number}".encode() for number in itertools.count(1))
        surroundings = Surroundings(Observer(), legacy=legacy, names=names)
        self.session = Session(1, Login(key, None, None), surroundings, self._lend, self.to_client.extend)

    def _lend(self, session: Session) -> DatabaseConnection | None:
        return self.connection if self.lent else None

    def _free(self, connection: DatabaseConnection) -> None:
        self.freed += 1
        connection.session = None
        self.session.connection = None

    @property
    def held(self) -> int:
        return len(self.session._buffer)


def answer(*parts: bytes) -> bytes:
    return b"".join(parts)


READY = message("Z", b"I")
IN_TRANSACTION = message("Z", b"T")
FAILED = message("E", b"SERROR\0VERROR\0C22012\0Mdivision by zero\0\0")
PARSED, BOUND, CLOSED, NO_DATA = message("1"), message("2"), message("3"), message("n")
ROW = message("T", b"\0\0") + message("D", b"\0\0")
DONE = message("C", b"SELECT 1\0")

# What a client sends, what the database gets, what it answers, what the client gets of that, whether it is free again.
CONVERSATIONS: dict[str, tuple[bytes, bytes, bytes, bytes, bool]] = {
    "simple query": (query("SELECT 1"), query("SELECT 1"), ROW + DONE + READY, ROW + DONE + READY, True),
    "transaction": (query("BEGIN"), query("BEGIN"), DONE + IN_TRANSACTION, DONE + IN_TRANSACTION, False),
    "two queries": (
        query("SELECT 1") + query("SELECT 2"),
        query("SELECT 1") + query("SELECT 2"),
        DONE + READY + DONE + READY,
        DONE + READY + DONE + READY,
        True,
    ),
    "unnamed statement": (
        parse("SELECT 1") + bind() + describe("", "P") + execute() + SYNC,
        parse("SELECT 1") + bind() + describe("", "P") + execute() + SYNC,
        PARSED + BOUND + NO_DATA + DONE + READY,
        PARSED + BOUND + NO_DATA + DONE + READY,
        True,
    ),
    "named statement": (
        parse("SELECT $1", "s", [23]) + describe("s") + bind("s", "p", ["1"]) + execute("p") + close("s") + SYNC,
        parse("SELECT $1", "n1", [23]) + describe("n1") + bind("n1", "p", ["1"]) + execute("p") + close("n1") + SYNC,
        PARSED + message("t", b"\0\0") + ROW + BOUND + DONE + CLOSED + READY,
        PARSED + message("t", b"\0\0") + ROW + BOUND + DONE + CLOSED + READY,
        True,
    ),
    "no Sync yet": (
        parse("SELECT 1") + describe() + FLUSH,
        parse("SELECT 1") + describe() + FLUSH,
        PARSED + message("t", b"\0\0") + ROW,
        PARSED + message("t", b"\0\0") + ROW,
        False,
    ),
    "name that is taken": (
        parse("SELECT 1", "s") + SYNC + parse("SELECT 2", "s") + SYNC,
        parse("SELECT 1", "n1") + SYNC + parse("", "s") + parse("SELECT 2", "s") + SYNC,
        PARSED + READY + PARSED + FAILED + READY,
        PARSED + READY + FAILED + READY,
        True,
    ),
    "statement of another's connection": (
        bind() + execute() + SYNC,
        bind() + execute() + SYNC,
        FAILED + READY,
        FAILED + READY,
        True,
    ),
    "copy in, as libpq does it": (
        parse("COPY t FROM STDIN") + bind() + execute() + SYNC,
        parse("COPY t FROM STDIN") + bind() + execute() + SYNC,
        PARSED + BOUND + message("G", b"\0\0\0"),
        PARSED + BOUND + message("G", b"\0\0\0"),
        False,
    ),
    "function call": (
        message("F", b"\0" * 12),
        message("F", b"\0" * 12),
        message("V", b"") + READY,
        message("V", b"") + READY,
        True,
    ),
    "nothing but what needs no answer": (FLUSH + COPY_DONE + copy_data(b"late"), b"", b"", b"", False),
    "pin with statements prepared": (
        parse("SELECT 1", "s") + SYNC + query("SET a.b = 1") + bind("s") + SYNC,
        parse("SELECT 1", "n1")
        + SYNC
        + close("n1")
        + SYNC
        + parse("SELECT 1", "s")
        + SYNC
        + query("SET a.b = 1")
        + bind("s")
        + SYNC,
        PARSED + READY + CLOSED + READY + PARSED + READY + DONE + READY + BOUND + READY,
        PARSED + READY + DONE + READY + BOUND + READY,
        False,
    ),
}


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_pieces_do_not_matter(name: str, feed: Feed) -> None:
    """Messages may come whole, byte by byte, or with the next ones behind them, from either side."""
    sent, got, answers, passed, free = CONVERSATIONS[name]
    house = House()
    for piece in feed(sent):
        house.session.receive(piece)
    assert bytes(house.to_database) == got
    for piece in feed(answers):
        house.connection.receive(piece)
    assert bytes(house.to_client) == passed
    assert bool(house.freed) == free
    assert (house.session.connection is None) == (free or not got)


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_trailing_data_are_kept(name: str, feed: Feed) -> None:
    """The beginning of a next message changes nothing, and is held until the message is whole."""
    sent, got, answers, passed, _ = CONVERSATIONS[name]
    house = House()
    trailing = query("SELECT 'trailing'")[:-3]
    for piece in feed(sent + trailing):
        house.session.receive(piece)
    assert bytes(house.to_database) == got
    assert house.held == len(trailing)
    for piece in feed(answers):
        house.connection.receive(piece)
    assert bytes(house.to_client) == passed


@pytest.mark.parametrize("feed", FEEDS)
def test_copy_passes_over_sync(feed: Feed) -> None:
    """The Sync that was sent before the database asked for data gets no answer; the one after them does."""
    house = House()
    house.session.receive(parse("COPY t FROM STDIN") + bind() + execute() + SYNC)
    house.connection.receive(PARSED + BOUND + message("G", b"\0\0\0"))
    for piece in feed(copy_data(b"a\n") + SYNC + FLUSH + copy_data(b"x" * 1000) + COPY_DONE + SYNC):
        house.session.receive(piece)
    assert house.freed == 0
    house.connection.receive(DONE + READY)
    assert house.freed == 1


def test_a_request_in_the_data_of_a_copy_is_refused() -> None:
    """The database would take it for data, and answer less than it was asked."""
    for request in (query("SELECT 1"), parse("SELECT 1") + SYNC):
        house = House()
        house.session.receive(query("COPY t FROM STDIN"))
        house.connection.receive(message("G", b"\0\0\0"))
        with pytest.raises(ProtocolViolation):
            house.session.receive(request)
        house = House()
        house.session.receive(query("COPY t FROM STDIN") + request)
        with pytest.raises(ProtocolViolation):
            house.connection.receive(message("G", b"\0\0\0"))


def test_an_error_leaves_out_the_rest_of_its_batch() -> None:
    """What a batch's later messages would have prepared or closed is as before: the server did not see to them."""
    house = House()
    house.session.receive(parse("SELECT 1", "kept") + SYNC)
    house.connection.receive(PARSED + READY)
    house.session.receive(bind("kept") + parse("SELECT 2", "new") + close("kept") + SYNC)
    house.connection.receive(FAILED + READY)
    del house.to_database[:]
    house.session.receive(bind("kept") + execute() + bind("new") + SYNC)
    assert bytes(house.to_database) == bind("n1") + execute() + bind("new") + SYNC


def test_statements_travel_within_the_batch() -> None:
    """On another connection a statement is prepared before the message that needs it, and the client is not told."""
    house = House()
    house.session.receive(parse("SELECT 1", "s") + SYNC)
    house.connection.receive(PARSED + READY)
    house.connection.prepared.clear()  # as another one would be
    del house.to_database[:], house.to_client[:]
    house.session.receive(bind("s") + execute() + SYNC)
    assert bytes(house.to_database) == parse("SELECT 1", "n1") + bind("n1") + execute() + SYNC
    house.connection.receive(PARSED + BOUND + DONE + READY)
    assert bytes(house.to_client) == BOUND + DONE + READY
    assert house.freed == 2


def test_big_messages_pass_in_pieces() -> None:
    """A parameter, a COPY's data or an oversized statement of 64 MB is never held."""
    size = 64 << 20
    for head in (
        b"Q" + struct.pack(">I", size) + b"SELECT '",
        b"P" + struct.pack(">I", size) + b"\0SELECT '",
        b"P" + struct.pack(">I", size) + b"name\0SELECT '",
        b"B" + struct.pack(">I", size) + b"\0\0\0\0\0\1",
        b"d" + struct.pack(">I", size),
    ):
        house = House()
        house.session.receive(query("COPY t FROM STDIN"))
        if head[:1] == b"d":
            house.connection.receive(message("G", b"\0\0\0"))
        else:
            house.connection.receive(DONE + READY)
        passed = 0
        house.session.receive(head)
        for _ in range(size // (1 << 16) - 1):
            house.session.receive(b"x" * (1 << 16))
            passed += len(house.to_database)
            del house.to_database[:]
            assert house.held <= MOST_HELD
        assert passed >= size - (1 << 16) - MOST_HELD


def test_a_waiting_client_keeps_its_messages() -> None:
    """What a client sends while it waits for a connection is sent once it has one."""
    house = House()
    house.lent = False
    house.session.receive(query("SELECT 1"))
    assert house.session.waiting
    house.session.receive(query("SELECT 2"))
    assert bytes(house.to_database) == b""
    house.session.granted(house.connection)
    assert bytes(house.to_database) == query("SELECT 1") + query("SELECT 2")


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("impossible", [b"Z\0\0\0\0I", b"Z\0\0\0\4", b"Z\0\0\0\6II", b"C\0\0\0\3", b"E\0\0\0\0"])
def test_a_database_that_is_none_is_refused(impossible: bytes, feed: Feed) -> None:
    """A message that no PostgreSQL sends ends the connection with one kind of refusal, like a client's."""
    for request in (query("SELECT 1"), bind() + execute() + SYNC):
        house = House()
        house.session.receive(request)
        with pytest.raises(ProtocolViolation):
            take(house.connection.receive, feed(impossible + READY))


def test_what_a_client_prepares_is_bounded() -> None:
    """A client that prepares without end is refused with PostgreSQL's code for a limit of the program."""
    house = House()

    def prepare() -> None:
        for number in range(10_000):
            house.session.receive(parse("SELECT '" + "x" * 16_000 + "'", f"s{number}") + SYNC)
            house.connection.receive(PARSED + READY)
            del house.to_database[:], house.to_client[:]
            assert house.session.statements.kept <= LONGEST_KEPT

    with pytest.raises(Refusal) as refused:
        prepare()
    assert refused.value.sqlstate == "54000"


def test_what_a_client_closed_is_not_counted() -> None:
    """A client that closes what it prepares may go on for ever."""
    house = House()
    for _ in range(LONGEST_KEPT // 16_000 + 10):
        house.session.receive(parse("SELECT '" + "x" * 16_000 + "'", "s") + close("s") + SYNC)
        house.connection.receive(PARSED + CLOSED + READY)
    assert house.session.statements.kept == 0


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
def test_malformed_messages_are_refused_alike(name: str, feed: Feed) -> None:
    """What is no protocol 3.0 ends in SQLSTATE 08P01, whatever pieces it comes in."""
    house = House()
    with pytest.raises(ProtocolViolation) as refused:
        take(house.session.receive, feed(MALFORMED[name] + SYNC))
    assert refused.value.sqlstate == "08P01"


VALID = [sent for sent, *_ in CONVERSATIONS.values()] + [TERMINATE]
ANSWERS = [answers for _, _, answers, _, _ in CONVERSATIONS.values()]


@st.composite
def mangled(draw: st.DrawFn, source: list[bytes]) -> bytes:
    """Messages with some bytes changed, left out or put in."""
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
@given(st.one_of(st.binary(min_size=1, max_size=300), mangled(VALID)), st.sampled_from(FEEDS), mangled(ANSWERS))
def test_fuzzed_clients_are_served_or_refused(data: bytes, feed: Feed, answers: bytes) -> None:
    """Whatever a client sends, it is taken or refused with one exception, and nothing much is held."""
    house = House()
    try:
        for piece in feed(data):
            house.session.receive(piece)
            assert house.held <= MOST_HELD
        if house.session.connection is not None and answers:
            for piece in feed(answers):
                house.connection.receive(piece)
    except ProtocolViolation:
        pass


LOGIN = start_up({"user": "app", "database": "shop"})


def rules(authentication: Authentication = Authentication.SCRAM) -> ClientRules:
    return ClientRules(authentication, {"app": "secret"}, tls=False)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        mangled([LOGIN, message("p", b"secret\0"), struct.pack(">II", 8, 80877103)]),
    ),
    st.sampled_from(FEEDS),
    st.sampled_from(list(Authentication)),
)
def test_fuzzed_logins_are_let_in_or_refused(data: bytes, feed: Feed, authentication: Authentication) -> None:
    """Whatever comes at login, it is taken or refused with one exception."""
    talk = Talk(client_login(rules(authentication)), lambda _: None)
    refusal: Refusal | None = None
    try:
        take(talk.receive, feed(data))
    except Refusal as raised:
        refusal = raised
    assert refusal is None or split(refusal.response())[0][0][0] == "E"


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        mangled([message("R", b"\0\0\0\0"), READY, FAILED, message("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")]),
    ),
    st.sampled_from(FEEDS),
)
def test_fuzzed_databases_are_refused(data: bytes, feed: Feed) -> None:
    """Whatever a database says at login, it is taken or refused with one exception."""
    talk = Talk(database_login(Key("app", "shop"), "secret", ask_for_tls=False, insist_on_tls=False), lambda _: None)
    try:
        for piece in feed(data):
            talk.receive(piece)
    except Refusal:
        pass


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("authentication", list(Authentication))
def test_a_login_may_come_in_any_pieces(authentication: Authentication, feed: Feed) -> None:
    """Each kind of login succeeds whatever pieces its messages come in."""
    sent = bytearray()
    talk = Talk(client_login(rules(authentication)), sent.extend)

    def tell(data: bytes) -> list[tuple[str, bytes]]:
        del sent[:]
        for piece in feed(data):
            talk.receive(piece)
        return split(bytes(sent))[0]

    asked = tell(struct.pack(">II", 8, 80877103))  # SSLRequest
    assert bytes(sent) == b"N"
    asked = tell(LOGIN)
    if authentication is Authentication.SCRAM:
        scram = ScramClient("secret")
        first = scram.first().encode()
        asked = tell(message("p", b"SCRAM-SHA-256\0" + struct.pack(">I", len(first)) + first))
        asked = tell(message("p", scram.final(asked[0][1][4:].decode()).encode()))
        scram.verify(asked[0][1][4:].decode())
    elif authentication is Authentication.PASS_THROUGH:
        tell(message("p", b"secret\0"))
    elif authentication is Authentication.MD5:
        from cdk_pinsafe.emulator.authentication import md5_response

        tell(message("p", md5_response("app", "secret", asked[0][1][4:]).encode() + b"\0"))
    assert talk.done
    assert isinstance(talk.result, Login)
    assert talk.result.key == Key("app", "shop")
    assert talk.result.password == "secret"
    assert "secret" not in repr(talk.result)
