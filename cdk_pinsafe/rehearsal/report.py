"""Presents a rehearsal: on a terminal, as plain lines, or as one JSON document."""

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .report_items import (
    ConnectInfo,
    DeployedResources,
    FailedDeployment,
    Note,
    ProxyUse,
    ReportItem,
    SettingsTable,
    VectorQuery,
    as_json,
)

__all__ = ["CLOSING", "JsonReport", "TextReport"]

CLOSING = (
    "Local: CloudFormation and the other AWS services (ministack), RDS Proxy (an emulator), PostgreSQL, Lambda "
    "functions as processes, the certificate authority. Real: the CDK CLI, the app, the applier, the clients. Nothing "
    "of this was tried on AWS."
)

_LAST_LINES = 30


class TextReport:
    """Lines of text; on a terminal, with colors and a running clock."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None

    def begin(self, step: str) -> None:
        """Show a step that begins."""
        if self._console.is_terminal:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._progress.add_task(escape(step))
            self._progress.start()
        else:
            self._print(f"... {step}")

    def end(self, step: str, seconds: float) -> None:
        """Show a completed step with its duration."""
        self._stop()
        self._print(f"[green]ok[/]  {escape(step)}  [dim]{seconds:.1f} s[/]")

    def show(self, item: ReportItem) -> None:
        """Show a result."""
        for line in _lines(item):
            self._print(f"    {line}")

    def abandon(self) -> None:
        """Restore the terminal without a message."""
        self._stop()

    def finish(self, seconds: float, error: str | None, cli_output: Sequence[str]) -> None:
        """Show the outcome."""
        self._stop()
        if error is None:
            self._print(f"[bold green]The rehearsal succeeded[/] in {seconds:.0f} s.")
        else:
            for line in cli_output[-_LAST_LINES:]:
                self._print(f"    [dim]{escape(line)}[/]")
            self._print(f"[bold red]The rehearsal failed:[/] {escape(error)}")
        self._print(f"[dim]{escape(CLOSING)}[/]")

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _print(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._console.print(text)


class JsonReport:
    """One JSON document on standard output at the end; progress as text on standard error."""

    def __init__(self, stream: TextIO, progress: TextIO) -> None:
        self._stream = stream
        self._text = TextReport(progress)
        self._steps: list[dict[str, Any]] = []
        self._items: list[dict[str, Any]] = []

    def begin(self, step: str) -> None:
        """Show a step that begins on standard error."""
        self._text.begin(step)

    def end(self, step: str, seconds: float) -> None:
        """Record a completed step with its duration."""
        self._steps.append({"name": step, "seconds": round(seconds, 2)})
        self._text.end(step, seconds)

    def show(self, item: ReportItem) -> None:
        """Record a result."""
        self._items.append(as_json(item))
        self._text.show(item)

    def abandon(self) -> None:
        """Restore the terminal without a message."""
        self._text.abandon()

    def finish(self, seconds: float, error: str | None, cli_output: Sequence[str]) -> None:
        """Write the document."""
        self._text.finish(seconds, error, cli_output)
        document = {
            "ok": error is None,
            "error": error,
            "seconds": round(seconds, 2),
            "steps": self._steps,
            "facts": self._items,
            "cli_output": list(cli_output),
            "limits": CLOSING,
        }
        print(json.dumps(document, indent=2), file=self._stream)


def report_for(output_format: str) -> TextReport | JsonReport:
    """The report for an output format, `text` or `json`."""
    if output_format == "json":
        return JsonReport(sys.stdout, sys.stderr)
    return TextReport(sys.stdout)


def _lines(item: ReportItem) -> list[str]:
    match item:
        case SettingsTable():
            return _settings_lines(item)
        case VectorQuery():
            return _vector_query_lines(item)
        case DeployedResources():
            return _deployed_lines(item)
        case ProxyUse():
            return _proxy_use_lines(item)
        case FailedDeployment():
            return [
                f"[bold]{escape(item.message)}[/]",
                f"stack {escape(item.stack)} is {item.status}",
            ]
        case ConnectInfo():
            return _connect_info_lines(item)
        case Note():
            return [f"[yellow]note:[/] {escape(item.text)}"]


def _settings_lines(item: SettingsTable) -> list[str]:
    table = [(row.name, row.before or "''", row.after or "''") for row in item.rows]
    names = max((len(name) for name, _, _ in table), default=0)
    befores = max((len(before) for _, before, _ in table), default=0)
    title = f"database [bold]{escape(item.database)}[/], in fresh connections, {escape(item.moment)}:"
    return [
        title,
        *(
            f"  {escape(name.ljust(names))}  {escape(before.ljust(befores))}  ->  [bold]{escape(after)}[/]"
            for name, before, after in table
        ),
    ]


def _vector_query_lines(item: VectorQuery) -> list[str]:
    if not item.uses_index:
        return ["filtered HNSW query: not shown, because the planner does not use the index with these settings"]
    return [
        f"filtered HNSW query, LIMIT {item.limit}, no SET sent: [bold]{item.rows} rows[/] in {escape(item.database)}, "
        f"{item.rows_without} in a database without the settings"
    ]


def _deployed_lines(item: DeployedResources) -> list[str]:
    lines = [f"stacks: {escape(', '.join(item.stacks))}"]
    for proxy in item.proxies:
        logging = "on" if proxy["enhanced_logging"] else "off"
        where = f"{escape(proxy['name'])} at {escape(proxy['endpoint'])}"
        lines.append(f"proxy {where}: {proxy['engine_family']}, enhanced logging {logging}")
    lines += [f"alarm on {escape(alarm['watches'])}" for alarm in item.alarms]
    if item.recorded_only:
        lines.append(f"[dim]recorded only: {escape(', '.join(item.recorded_only))}[/]")
    return lines


_STATES = {"ALARM": "[bold red]ALARM[/]", "OK": "[bold green]OK[/]"}


def _proxy_use_lines(item: ProxyUse) -> list[str]:
    sent = f"each sent [bold]{escape(item.statement)}[/]" if item.statement else "no SET sent"
    pinned = f"[bold red]{item.pinned} pinned[/]" if item.pinned else "[bold green]none pinned[/]"
    lines = [
        f"{item.clients} clients, {sent}: [bold]{item.connections} database connections[/], {pinned}",
        f"all of them have {escape(item.setting)} = {escape(item.value)}",
    ]
    if item.line is not None:
        lines.append(f"one of {item.pins_in_log} lines in its log: {escape(item.line)}")
    changed = [alarm for alarm in item.alarms if alarm.after != alarm.before]
    lines += [
        f"alarm on {escape(alarm.watches)}: {alarm.before} -> {_STATES.get(alarm.after, alarm.after)}"
        for alarm in changed
    ]
    if changed and item.statement:
        lines.append("[dim]each second was a minute for CloudWatch; the other alarms did not change[/]")
    return lines


def _connect_info_lines(item: ConnectInfo) -> list[str]:
    environments = [" ".join(f"{name}={value}" for name, value in one.items()) for one in item.environments]
    return [
        "[bold]Everything is running; Ctrl-C stops and removes it.[/] The passwords are for this rehearsal only.",
        *(f"{escape(one['owner'])}: {escape(one['psql'])}" for one in item.connections),
        *(escape(f"AWS: {one} AWS_ENDPOINT_URL={item.endpoint} aws ...") for one in environments),
    ]
