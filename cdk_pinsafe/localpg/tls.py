"""TLS for a PostgreSQL server that was built without it, as strict as what RDS does.

`CertificateAuthority` makes a CA and certificates that pass Python's VERIFY_X509_STRICT. `TlsFront` stands before a
plain server: it answers PostgreSQL's SSLRequest, ends TLS and passes the bytes on. Who comes without TLS is refused in
PostgreSQL's own words, as with `rds.force_ssl`. A cancel request, which PostgreSQL accepts without TLS, is passed on.

Not imitated: TLS from the first byte (`sslnegotiation=direct`), client certificates, channel binding.

This module must know nothing of what goes through it but the first message.
"""

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..errors import RehearsalError

__all__ = ["CertificateAuthority", "TlsFront"]

HOST = "127.0.0.1"
_DAY = datetime.timedelta(days=1)


class CertificateAuthority:
    """A certificate authority whose key never leaves this process.

    Attributes:
        certificate: the PEM file that clients trust (`sslrootcert`).
    """

    def __init__(self, directory: Path, *, name: str = "cdk-pinsafe rehearsal CA") -> None:
        """Make the authority, and write its certificate into `directory`."""
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._issued = 0
        now = datetime.datetime.now(datetime.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 7 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(certificate_authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate = directory / "ca.pem"
        self.certificate.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str, not_after: datetime.datetime | None = None) -> tuple[Path, Path]:
        """Issue a server certificate for host names and IP addresses; return its files: certificate, key.

        Args:
            names: what clients call the server, such as `localhost` or `127.0.0.1`.
            not_after: when it ends; by default with the authority. A time in the past gives an expired certificate, for
                tests.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        end = not_after or self._certificate.not_valid_after_utc
        authority_key = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(self._certificate.not_valid_before_utc, end - _DAY))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(certificate_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self._issued += 1
        certificate_file = self._directory / f"server-{self._issued}.crt"
        key_file = self._directory / f"server-{self._issued}.key"
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate_file, key_file


class TlsFront:
    """A TLS end for the plain PostgreSQL server at `target`. A context manager; it runs in a thread of its own.

    Attributes:
        host: always 127.0.0.1.
        port: the free port that clients connect to.
    """

    def __init__(self, target_host: str, target_port: int, certificate: Path, key: Path) -> None:
        self.host = HOST
        self._target = (target_host, target_port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server((HOST, 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"tls-front-{self.port}", daemon=True)
        self._serving: asyncio.Task[None] | None = None
        self._started = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to serve; connections made before this wait in the listener's queue."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Close the listener and every connection, and end the thread."""
        if self._serving is not None:
            self._loop.call_soon_threadsafe(self._serving.cancel)
            self._thread.join()
            self._serving = None

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._serving = asyncio.current_task()
        self._started.set()
        connections: set[asyncio.Task[None]] = set()
        try:
            while True:
                client, _ = await self._loop.sock_accept(self._listener)
                connection = asyncio.create_task(_serve_client(client, self._target, self._context))
                connections.add(connection)
                connection.add_done_callback(connections.discard)
        finally:
            self._listener.close()
            for connection in connections:
                connection.cancel()
            await asyncio.gather(*connections, return_exceptions=True)


# The first message's codes (PostgreSQL's src/include/libpq/pqcomm.h): each stands where a start-up message has its
# protocol version.
_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_CANCEL_REQUEST = 80877102
_LONGEST_START_UP = 10_000  # MAX_STARTUP_PACKET_LENGTH: the server refuses longer ones, so nobody makes us hold them
_CHUNK = 65_536
_PATIENCE = 15.0


async def _serve_client(client: socket.socket, target: tuple[str, int], context: ssl.SSLContext) -> None:
    """Serve one connection from its first byte to its end."""
    try:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if await asyncio.wait_for(_negotiate(client, target), _PATIENCE):
            await _pass_on(client, target, context)
    except (OSError, ssl.SSLError, TimeoutError, RehearsalError, asyncio.IncompleteReadError):
        pass  # the client broke off, lied or was slow; there is nobody to tell
    finally:
        client.close()


async def _negotiate(client: socket.socket, target: tuple[str, int]) -> bool:
    """Read first messages until the client asks for TLS (true) or has got its answer (false).

    Exactly one message is read, never more: what a client, or somebody between, sends ahead in plain text must not pass
    for TLS data.
    """
    loop = asyncio.get_running_loop()
    for _ in range(3):  # at most: GSS refused, then SSL; a client that goes on asking is none
        head = await _read(client, 8)
        length, code = struct.unpack("!ii", head)
        if not 8 <= length <= _LONGEST_START_UP:
            return False
        if code == _SSL_REQUEST and length == 8:
            await loop.sock_sendall(client, b"S")
            return True
        if code == _GSS_REQUEST and length == 8:
            await loop.sock_sendall(client, b"N")
            continue
        body = await _read(client, length - 8)
        if code == _CANCEL_REQUEST:
            await _send_alone(target, head + body)
        else:
            await loop.sock_sendall(client, _refusal(body))
        return False
    return False


async def _pass_on(client: socket.socket, target: tuple[str, int], context: ssl.SSLContext) -> None:
    """End TLS with the client, and copy bytes both ways until either side closes; then close both."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_CHUNK)
    transport, protocol = await loop.connect_accepted_socket(
        lambda: asyncio.StreamReaderProtocol(reader),
        client,
        ssl=context,
        ssl_handshake_timeout=_PATIENCE,
        ssl_shutdown_timeout=1.0,
    )
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    server_writer: asyncio.StreamWriter | None = None
    try:
        server_reader, server_writer = await asyncio.open_connection(*target, limit=_CHUNK)
        copies = {asyncio.create_task(_copy(reader, server_writer)), asyncio.create_task(_copy(server_reader, writer))}
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
    finally:
        for end in (writer, server_writer):
            if end is not None:
                end.close()
        for end in (writer, server_writer):
            if end is not None:
                with contextlib.suppress(OSError):
                    await end.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


async def _read(client: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < length:
        more = await loop.sock_recv(client, length - len(data))
        if not more:
            raise asyncio.IncompleteReadError(data, length)
        data += more
    return data


async def _send_alone(target: tuple[str, int], message: bytes) -> None:
    """Send a message that is a connection of its own, and wait until the server has closed it."""
    reader, writer = await asyncio.open_connection(*target)
    writer.write(message)
    await writer.drain()
    await reader.read(1)
    writer.close()
    await writer.wait_closed()


def _refusal(start_up: bytes) -> bytes:
    """An ErrorResponse like the one of a server that takes TLS only. `start_up` is the start-up message after its
    version.
    """
    fields = start_up.rstrip(b"\0").split(b"\0")
    given = dict(zip(fields[::2], fields[1::2], strict=False))
    user = given.get(b"user", b"")
    database = given.get(b"database", user)
    message = b'no pg_hba.conf entry for host "%s", user "%s", database "%s", no encryption' % (
        HOST.encode(),
        user,
        database,
    )
    parts = (b"SFATAL", b"VFATAL", b"C28000", b"M" + message)
    body = b"".join(part + b"\0" for part in parts) + b"\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


def _key_usage(*, certificate_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_authority,
        crl_sign=certificate_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
