"""Renders a snapshot for a terminal: clients, database connections, who is pinned and why. Uses only rich."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..terminal import plain
from .events import PinEvent
from .snapshot import ClientState, Snapshot

__all__ = ["pin_text", "render"]

_STATES = {
    "pinned": "bold red",
    "in transaction": "green",
    "borrowed": "green",
    "waiting": "yellow",
    "idle": "dim",
    "logging in": "dim",
}


def render(snapshot: Snapshot, rate: float, *, height: int = 40) -> RenderableType:
    """Render a snapshot in at most `height` lines; `rate` is in requests per second."""
    pinned = sum(1 for one in snapshot.connections if one.state == "pinned")
    borrowed = sum(1 for one in snapshot.connections if one.state != "idle")
    head = Text.assemble(
        (f"{len(snapshot.clients)}", "bold"),
        " clients   ",
        (f"{len(snapshot.connections)} of {snapshot.size}", "bold"),
        f" database connections, {borrowed} borrowed, ",
        (f"{pinned} pinned", "bold red" if pinned else "bold green"),
        f"   {snapshot.waiting} waiting   ",
        (f"{rate:,.0f}", "bold"),
        " requests/s",
    )
    available = max(3, height - 8)
    connections = _connections(snapshot)
    clients = _clients(snapshot, max(2, available // 2))
    return Group(
        head, Text(), connections, Text(), clients, Text(), _pins(snapshot, max(1, available - available // 2 - 6))
    )


def pin_text(pin: PinEvent) -> Text:
    """Return a pin in three lines: who, what, and what to write instead."""
    condition = f"{pin.condition.id}" if pin.condition is not None else "parse message"
    evidence = ", ".join(pin.evidence)
    return Text.assemble(
        (f"client {pin.client_connection}", "bold"),
        f" pinned connection {pin.db_connection}: ",
        (condition, "bold red"),
        (f" ({evidence})", "dim"),
        "\n  ",
        _statement(pin),
        "\n  ",
        (plain(pin.remedy), "italic"),
    )


def _statement(pin: PinEvent) -> Text:
    text = Text(plain(pin.statement))
    text.stylize("red underline", pin.start, pin.end)
    text.truncate(160, overflow="ellipsis")
    return text


def _connections(snapshot: Snapshot) -> Text:
    """Return all connections as a row of boxes: pinned, borrowed, idle, not opened."""
    text = Text("connections  ")
    marks = {"pinned": ("▨", "bold red"), "borrowed": ("■", "green"), "idle": ("□", "dim")}
    for one in snapshot.connections:
        text.append(*marks[one.state])
    text.append("·" * min(max(0, snapshot.size - len(snapshot.connections)), 200), "dim")
    text.append("   ■ borrowed  ▨ pinned  □ idle  · not opened", "dim")
    return text


def _clients(snapshot: Snapshot, most: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=False)
    for name in ("client", "application", "user", "database", "state", "connection", "pinned by"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=60 if name == "pinned by" else 20)
    order = ["pinned", "waiting", "in transaction", "logging in", "idle"]
    shown = sorted(snapshot.clients, key=lambda client: (order.index(client.state), client.number))
    for client in shown[:most]:
        table.add_row(*_row(client))
    if len(shown) > most:
        table.add_row(Text(f"and {len(shown) - most} more", "dim"))
    return table


def _row(client: ClientState) -> list[Text]:
    return [
        Text(str(client.number)),
        Text(plain(client.name) or "-"),
        Text(plain(client.user)),
        Text(plain(client.database)),
        Text(client.state, _STATES[client.state]),
        Text("" if client.connection is None else str(client.connection)),
        Text("") if client.pin is None else _statement(client.pin),
    ]


def _pins(snapshot: Snapshot, most: int) -> RenderableType:
    pins = snapshot.pins
    if not pins:
        return Text("Nothing has pinned so far.", "green")
    heading = Text(f"{len(pins)} sessions were pinned so far, the last by:", "red")
    return Group(heading, *(pin_text(pin) for pin in pins[-max(1, most // 3) :]))
