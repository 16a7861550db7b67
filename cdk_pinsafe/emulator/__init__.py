"""A local RDS Proxy emulator: a PostgreSQL proxy that multiplexes transactions and pins sessions as RDS Proxy does.

::

    from cdk_pinsafe.emulator import run_in_thread

    with run_in_thread("postgresql://app:secret@localhost:5432/app", pool_size=30) as proxy:
        ...  # clients connect to proxy.dsn()
        for pin in proxy.pins:
            print(pin.condition, pin.statement, pin.remedy)

This project has not compared it with a real RDS Proxy. What it does, by how well the behavior of RDS Proxy is known:

**Documented by AWS.** The unit of multiplexing is the transaction. `cdk_pinsafe.pinning` defines what pins; each
condition has its evidence, and function bodies are not inspected. Statements prepared through the extended protocol
follow the client to other connections: they are prepared again, in the same batch, where they are needed. Before
November 2023 every Parse message pinned (`legacy`). A pin lasts until the client disconnects. Cancel requests have no
effect. Statements over 16 KB pin. The pool limits, the borrow timeout, the idle client timeout and the 24-hour client
lifetime are AWS's, as are SCRAM-SHA-256 as the default authentication and MD5 as an option, the messages of login
errors, and the metric names.

**Measured by others.** The format of the log lines. A pinning statement that is prepared through the extended protocol
is logged at INFO when it is parsed, and pins when it is executed. Start-up parameters other than application_name,
client_encoding, DateStyle, TimeZone, extra_float_digits and search_path are rejected with SQLSTATE 0A000. A borrow
timeout has SQLSTATE 08000.

**Inferred, or chosen where nothing is known.** A statement over 16 KB pins when it is parsed. A client gets a FATAL
error and is disconnected when its borrow times out, when it is idle too long, or when it reaches its maximum lifetime.
Each combination of user, database and start-up parameters has its own database connections within the one pool limit;
application_name is set with a SET when a connection changes hands. RDS Proxy uses other means. A client receives the
ParameterStatus values that the latest database connection of its kind reported when it was opened; it is not known
whether RDS Proxy reports all of them. When a pinned client disconnects, its database connection is closed, not reset;
the same holds for a client that disconnects inside a transaction. If a client disappears without Terminate, its running
request is canceled. Prepared statements have the client's own names on the server: another client's statement of the
same name is closed before. EXECUTE, DEALLOCATE and pg_prepared_statements find the client's statements and no others.
In a failed transaction, a statement that is missing on the connection cannot be prepared; using it gets SQLSTATE 25P02.
A client's requests are sent at most about a thousand ahead of their answers, except within a batch. With authentication
`password` the database is asked at every login. The number of prepared statements per connection and the memory per
client are bounded.

**Not emulated.** IAM authentication, additional endpoints, read-only targets and failover, connections opened in
advance, initialization queries, other engines, the delay of CloudWatch metrics, direct TLS (`sslnegotiation=direct`),
client certificates, channel binding, protocol 3.2, streaming replication. The emulator is not hardened or tuned for use
in front of a production database.

Messages are buffered only if they must be read whole (for example a statement within the 16 KB limit), and the buffers
are bounded; all other bytes are forwarded in pieces.

Modules, from the bytes up:

- Wire protocol, without I/O: `authentication`, `handshake` with `frontend_login` and `backend_login`; the messages are
  in `cdk_pinsafe.protocol`.
- Multiplexing, without I/O: `session` (a client) and the `connection` that it borrows from the `pool`;
  `message_rewriter`, `prepared_statements`, `pending`, `classifier` and `shared` belong to them.
- Sockets (asyncio): `frontend` (clients) and `backend` (the database), both on `flow_control`.
- `server` connects these in one event loop and maps sessions to clients; `threaded` runs it in a thread. uvloop is used
  if it is installed, because it is faster.
- Observers of `events`: `log`, `timeline`; and the state for people and tools: `snapshot`, `terminal_view`, `metrics`,
  `metrics_server`. `command` is the command line.
"""

from .events import Observer, PinEvent
from .frontend_login import Authentication
from .metrics import Metrics
from .server import EmulatorOptions, ProxyEmulator
from .snapshot import ClientState, ConnectionState, Snapshot
from .target import ProxyTarget
from .threaded import ThreadedEmulator, run_in_thread

__all__ = [
    "Authentication",
    "ClientState",
    "ConnectionState",
    "EmulatorOptions",
    "Metrics",
    "Observer",
    "PinEvent",
    "ProxyEmulator",
    "ProxyTarget",
    "Snapshot",
    "ThreadedEmulator",
    "run_in_thread",
]
