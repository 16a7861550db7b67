"""The report as one JSON document. Its names are stable: releases add names, but do not change or remove them.

::

    {
      "version": 1,
      "inputs": ["orders.log"],             names of what was read
      "bytes": 1048576,                     as stored
      "first": "2023-09-06T08:28:13Z",      the times of the log; null if no line has one
      "last": "2023-09-06T09:00:00Z",
      "lines": {"total", "pins", "repeated", "announced", "ordinary", "unknown"},
      "only_pins": false,                   whether only lines about pins were requested from CloudWatch
      "unknown": [{"count": 1, "sample": "…"}],
      "pins": 12,
      "joined": 3,                          pins whose digest was found by client connection (inferred)
      "client_connections": {"count": 12, "exact": true},
      "chart": {"start": "2023-09-06T08:28:00Z", "bar_seconds": 15, "bars": 120},
      "conditions": [{"condition": "set", "title", "count", "bars": [0, 1, …], "evidence": ["documented"], "sources"}],
      "digests": [{"condition", "conditions", "title", "digest", "reason", "others": false, "count", "joined", "first",
                   "last", "client_connections", "bars", "clients", "remedies", "evidence"}],
      "clients": [{"clients": ["Knex", "Laravel"], "count": 12, "digests": ["…"]}],
      "settings": [{"name": "search_path", "value": null, "origin": "", "count": 12}],
      "client_options": [{"client": "Knex", "option": "drop searchPath", "count": 12}],
      "folded": 0,                          minimum number of digests that were combined with others
      "notes": [],                          problems while reading
      "caveat": "…"
    }

`condition` is null if it is not known from the log; `digest`, if the log has none; `value`, if the log has `$1` for it
and no client of the catalogue is known to send it.
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO

from . import phrasing
from .report import LogReport

__all__ = ["write_json"]


def write_json(report: LogReport, stream: TextIO) -> None:
    """Write the document and a line break."""
    json.dump(_document(report), stream, indent=2, ensure_ascii=False)
    stream.write("\n")


def _document(report: LogReport) -> dict[str, Any]:
    lines = report.lines
    return {
        "version": 1,
        "inputs": report.inputs,
        "bytes": report.bytes,
        "first": _time(report.first),
        "last": _time(report.last),
        "lines": {
            name: getattr(lines, name) for name in ("total", "pins", "repeated", "announced", "ordinary", "unknown")
        },
        "only_pins": report.only_pins,
        "unknown": [{"count": count, "sample": sample} for sample, count in lines.forms.values()],
        "pins": report.pins,
        "joined": report.joined,
        "client_connections": asdict(report.connections),
        "chart": {
            "start": _time(report.chart.start),
            "bar_seconds": report.chart.width,
            "bars": report.chart.bars,
        },
        "conditions": [
            {
                "condition": row.id,
                "title": row.title,
                "count": row.count,
                "bars": row.bars,
                "evidence": row.evidence,
                "sources": row.sources,
            }
            for row in report.conditions
        ],
        "digests": [
            {
                "condition": row.condition,
                "conditions": row.conditions,
                "title": row.title,
                "digest": row.digest,
                "reason": row.reason,
                "others": row.folded,
                "count": row.count,
                "joined": row.joined,
                "first": _time(row.first),
                "last": _time(row.last),
                "client_connections": asdict(row.connections),
                "bars": row.bars,
                "clients": row.clients,
                "remedies": row.remedies,
                "evidence": row.evidence,
            }
            for row in report.digests
        ],
        "clients": [
            {"clients": [client.name for client in one.clients], "count": one.count, "digests": one.digests}
            for one in report.clients
        ],
        "settings": [asdict(setting) for setting in report.settings],
        "client_options": [
            {"client": client.name, "option": client.opt_out, "count": count}
            for client, count in phrasing.opt_outs(report)
        ],
        "folded": report.folded,
        "notes": report.notes,
        "caveat": phrasing.CAVEAT,
    }


def _time(second: int | None) -> str | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
