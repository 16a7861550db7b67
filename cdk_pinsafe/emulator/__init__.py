"""A stand-in for RDS Proxy: a PostgreSQL proxy that multiplexes transactions and pins as RDS Proxy does, on a laptop.

::

    from cdk_pinsafe.emulator import running

    with running("postgresql://app:secret@localhost:5432/app", pool_size=30) as proxy:
        ...  # clients connect to proxy.dsn()
        for pin in proxy.pins:
            print(pin.condition, pin.statement, pin.remedy)

Nothing of this was compared with a real RDS Proxy by this project. What it does, and how well that is known:

**As AWS documents it.** The unit of multiplexing is the transaction. What pins is what `cdk_pinsafe.pinning` says,
each condition with its evidence; bodies of functions are not looked into. Statements that are prepared through the
protocol travel with the client, prepared again in the same batch where they are needed; before November 2023 a Parse
message pinned (`legacy`). A pin holds until the client disconnects. Cancel requests have no effect. Statements over 16
KB pin. The limits of pool, borrowing, idle clients and the 24 hours of a client's life; SCRAM-SHA-256 by default, MD5
by choice; the words of refusals at login; the names of the metrics.

**As others measured it.** The forms of the log lines. A pinning statement that is prepared through the protocol is
logged at INFO when it is parsed, and pins when it runs. Start-up parameters other than application_name,
client_encoding, DateStyle, TimeZone, extra_float_digits and search_path are refused, with SQLSTATE 0A000. The error of
a borrow that timed out has SQLSTATE 08000.

**Inferred, or chosen where nothing is known.** A statement over 16 KB pins when it is parsed. A client whose borrow
timed out, that was idle too long or has lived too long is told so with a FATAL error, and its connection closes.
Start-up parameters are kept by giving each combination of user, database and parameters database connections of its
own within one pool, and application_name by a SET where the last borrower had another; RDS Proxy has means of its own.
A client is told the parameters (ParameterStatus) that the last database connection of its kind reported when it was
opened; whether RDS Proxy reports every one is not known. The connection of a pinned client is closed when the client
leaves, not reset; so is one whose client left in mid-transaction. A request whose client vanished is cancelled. Once
pinned, a client's prepared statements go by its own names, for EXECUTE and DEALLOCATE. The number of statements that
stay prepared on a connection, and what a client may prepare, are bounded.

**Not imitated.** IAM authentication, several endpoints, read-only targets and failover, connections that are opened
ahead or kept warm, initialization queries, other engines, the delay of metrics, TLS from the first byte
(`sslnegotiation=direct`), client certificates, channel binding, protocol 3.2, streaming replication. It is neither
hardened nor tuned to stand before a production database.

What must be whole before it is looked at is bounded (a statement that does not pin, say); everything else goes through
in pieces. The machine without sockets is `session` and the `connection` that it borrows, which knows its
borrower only as whom it answers. The rules of lending are `pool`. The sockets are `client_edge` and `database_edge`,
which know each other only as an `edge` that may be full. `server` puts them together in one event loop, and finds the
client of a session by its number; `host` runs that in a thread. With uvloop installed it is faster.
"""

from .events import Observer, Pin
from .host import RunningStandIn, running
from .login import Authentication
from .metrics import Metrics
from .server import Options, StandIn
from .target import Target

__all__ = [
    "Authentication",
    "Metrics",
    "Observer",
    "Options",
    "Pin",
    "RunningStandIn",
    "StandIn",
    "Target",
    "running",
]
