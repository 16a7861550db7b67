"""How a rehearsal looks: on a terminal, in plain lines, as one JSON document. It must not know how facts are found."""

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .report_items import Deployed, Fact, Kept, Note, Pooling, Query, Refusal, Settings, as_json

__all__ = ["CLOSING", "JsonReport", "TextReport"]

CLOSING = (
    "Local: CloudFormation and the other AWS services (ministack), RDS Proxy (an emulator), PostgreSQL, Lambda "
    "functions as processes, the certificate authority. Real: the CDK CLI, the app, the applier, the clients. Nothing "
    "of this was tried on AWS."
)

_LAST_LINES = 30


class TextReport:
    """Lines of text: with colours and a running clock on a terminal, plain elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None

    def begin(self, step: str) -> None:
        """Start the clock of a step."""
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
        """Stop the clock, and say how long the step took."""
        self._stop()
        self._print(f"[green]ok[/]  {escape(step)}  [dim]{seconds:.1f} s[/]")

    def show(self, fact: Fact) -> None:
        """Say a fact."""
        for line in _lines(fact):
            self._print(f"    {line}")

    def abandon(self) -> None:
        """Give the terminal back without a word."""
        self._stop()

    def finish(self, seconds: float, error: str | None, cli_output: Sequence[str]) -> None:
        """Say how it ended."""
        self._stop()
        if error is None:
            self._print(f"[bold green]The rehearsal went well[/], in {seconds:.0f} s.")
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
    """One JSON document on standard output at the end; progress goes to standard error as text."""

    def __init__(self, stream: TextIO, progress: TextIO) -> None:
        self._stream = stream
        self._text = TextReport(progress)
        self._steps: list[dict[str, Any]] = []
        self._facts: list[dict[str, Any]] = []

    def begin(self, step: str) -> None:
        """Pass it on to the progress."""
        self._text.begin(step)

    def end(self, step: str, seconds: float) -> None:
        """Note how long the step took."""
        self._steps.append({"name": step, "seconds": round(seconds, 2)})
        self._text.end(step, seconds)

    def show(self, fact: Fact) -> None:
        """Note the fact."""
        self._facts.append(as_json(fact))
        self._text.show(fact)

    def abandon(self) -> None:
        """Give the terminal back without a word."""
        self._text.abandon()

    def finish(self, seconds: float, error: str | None, cli_output: Sequence[str]) -> None:
        """Write the document."""
        self._text.finish(seconds, error, cli_output)
        document = {
            "ok": error is None,
            "error": error,
            "seconds": round(seconds, 2),
            "steps": self._steps,
            "facts": self._facts,
            "cli_output": list(cli_output),
            "limits": CLOSING,
        }
        print(json.dumps(document, indent=2), file=self._stream)


def report_for(output_format: str) -> TextReport | JsonReport:
    """The report that a format names: `text` or `json`."""
    if output_format == "json":
        return JsonReport(sys.stdout, sys.stderr)
    return TextReport(sys.stdout)


def _lines(fact: Fact) -> list[str]:
    match fact:
        case Settings():
            return _settings_lines(fact)
        case Query():
            return _query_lines(fact)
        case Deployed():
            return _deployed_lines(fact)
        case Pooling():
            return _pooling_lines(fact)
        case Refusal():
            return [
                f"[bold]{escape(fact.message)}[/]",
                f"stack {escape(fact.stack)} is {fact.status}",
            ]
        case Kept():
            return _kept_lines(fact)
        case Note():
            return [f"[yellow]note:[/] {escape(fact.text)}"]


def _settings_lines(fact: Settings) -> list[str]:
    table = [(row.name, row.before or "''", row.after or "''") for row in fact.rows]
    names = max((len(name) for name, _, _ in table), default=0)
    befores = max((len(before) for _, before, _ in table), default=0)
    title = f"database [bold]{escape(fact.database)}[/], in fresh connections, {escape(fact.moment)}:"
    return [
        title,
        *(
            f"  {escape(name.ljust(names))}  {escape(before.ljust(befores))}  ->  [bold]{escape(after)}[/]"
            for name, before, after in table
        ),
    ]


def _query_lines(fact: Query) -> list[str]:
    if not fact.uses_index:
        return ["filtered HNSW query: not shown, as the planner does not take the index with these settings"]
    return [
        f"filtered HNSW query, LIMIT {fact.limit}, no SET sent: [bold]{fact.rows} rows[/] in {escape(fact.database)}, "
        f"{fact.rows_without} in a database without the settings"
    ]


def _deployed_lines(fact: Deployed) -> list[str]:
    lines = [f"stacks: {escape(', '.join(fact.stacks))}"]
    for proxy in fact.proxies:
        logging = "on" if proxy["enhanced_logging"] else "off"
        where = f"{escape(proxy['name'])} at {escape(proxy['endpoint'])}"
        lines.append(f"proxy {where}: {proxy['engine_family']}, enhanced logging {logging}")
    lines += [f"alarm on {escape(alarm['watches'])}" for alarm in fact.alarms]
    if fact.recorded_only:
        lines.append(f"[dim]recorded only: {escape(', '.join(fact.recorded_only))}[/]")
    return lines


_STATES = {"ALARM": "[bold red]ALARM[/]", "OK": "[bold green]OK[/]"}


def _pooling_lines(fact: Pooling) -> list[str]:
    sent = f"each sent [bold]{escape(fact.statement)}[/]" if fact.statement else "no SET sent"
    pinned = f"[bold red]{fact.pinned} pinned[/]" if fact.pinned else "[bold green]none pinned[/]"
    lines = [
        f"{fact.clients} clients, {sent}: [bold]{fact.connections} database connections[/], {pinned}",
        f"all of them have {escape(fact.setting)} = {escape(fact.value)}",
    ]
    if fact.line is not None:
        lines.append(f"one of {fact.pins_in_log} lines in its log: {escape(fact.line)}")
    changed = [alarm for alarm in fact.alarms if alarm.after != alarm.before]
    lines += [
        f"alarm on {escape(alarm.watches)}: {alarm.before} -> {_STATES.get(alarm.after, alarm.after)}"
        for alarm in changed
    ]
    if changed and fact.statement:
        lines.append("[dim]each second was a minute for CloudWatch; the other alarms stayed as they were[/]")
    return lines


def _kept_lines(fact: Kept) -> list[str]:
    environments = [" ".join(f"{name}={value}" for name, value in one.items()) for one in fact.environments]
    return [
        "[bold]It is all up; Ctrl-C stops it and leaves nothing.[/] The passwords are of this rehearsal only.",
        *(f"{escape(one['owner'])}: {escape(one['psql'])}" for one in fact.connections),
        *(escape(f"AWS: {one} AWS_ENDPOINT_URL={fact.endpoint} aws ...") for one in environments),
    ]
