"""The structure of a CloudWatch dashboard's body, as a JSON schema.

Source: Amazon CloudWatch API reference, "Dashboard body structure and syntax" (documented). It has the widgets that
`PinningDashboard` uses.
"""

from typing import Any, Final

_COLOR: Final = {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"}
_AXIS: Final = {
    "type": "object",
    "properties": {
        "label": {"type": "string"},
        "min": {"type": "number"},
        "max": {"type": "number"},
        "showUnits": {"type": "boolean"},
    },
    "additionalProperties": False,
}
_RENDERING: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "accountId": {"type": "string", "pattern": r"^\d{12}$"},
        "color": _COLOR,
        "expression": {"type": "string", "maxLength": 1024},
        "id": {"type": "string", "pattern": "^[a-z][A-Za-z0-9_]{0,254}$"},
        "label": {"type": "string"},
        "period": {"type": "integer", "minimum": 1},
        "region": {"type": "string"},
        "stat": {"type": "string"},
        "visible": {"type": "boolean"},
        "yAxis": {"enum": ["left", "right"]},
    },
    "additionalProperties": False,
}
_METRIC: Final[dict[str, Any]] = {
    "oneOf": [
        # An expression stands alone.
        {
            "type": "array",
            "items": {**_RENDERING, "required": ["expression"]},
            "minItems": 1,
            "maxItems": 1,
        },
        # Namespace, name, dimensions in pairs, then how to draw it.
        *(
            {
                "type": "array",
                "prefixItems": [*[{"type": "string", "minLength": 1}] * strings, _RENDERING],
                "items": False,
                "minItems": strings,
            }
            for strings in range(2, 63, 2)
        ),
    ]
}
_LINE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "color": _COLOR,
        "fill": {"enum": ["above", "below"]},
        "label": {"type": "string"},
        "value": {"type": "number"},
        "visible": {"type": "boolean"},
        "yAxis": {"enum": ["left", "right"]},
    },
    "required": ["value"],
    "additionalProperties": False,
}
_METRIC_PROPERTIES: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "accountId": {"type": "string"},
        "annotations": {
            "type": "object",
            "properties": {"horizontal": {"type": "array", "items": _LINE}},
            "additionalProperties": False,
        },
        "legend": {"type": "object", "properties": {"position": {"enum": ["right", "bottom", "hidden"]}}},
        "liveData": {"type": "boolean"},
        "metrics": {"type": "array", "items": _METRIC, "minItems": 1, "maxItems": 500},
        "period": {"anyOf": [{"enum": [1, 5, 10, 20, 30]}, {"type": "integer", "minimum": 60, "multipleOf": 60}]},
        "region": {"type": "string", "minLength": 1},
        "stacked": {"type": "boolean"},
        "stat": {"type": "string"},
        "timezone": {"type": "string", "pattern": r"^[+-]\d{4}$"},
        "title": {"type": "string"},
        "view": {"enum": ["timeSeries", "singleValue", "gauge", "bar", "pie", "table"]},
        "yAxis": {
            "type": "object",
            "properties": {"left": _AXIS, "right": _AXIS},
            "additionalProperties": False,
        },
    },
    "required": ["metrics", "region"],
    "additionalProperties": False,
}
_LOG_PROPERTIES: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "accountId": {"type": "string"},
        "query": {"type": "string", "pattern": r"^SOURCE '[^']+'( \| SOURCE '[^']+')*\s*\|"},
        "region": {"type": "string", "minLength": 1},
        "stacked": {"type": "boolean"},
        "title": {"type": "string"},
        "view": {"enum": ["table", "timeSeries", "bar", "pie"]},
    },
    "required": ["query", "region"],
    "additionalProperties": False,
}
_TEXT_PROPERTIES: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "background": {"enum": ["transparent", "solid"]},
        "markdown": {"type": "string", "minLength": 1},
    },
    "required": ["markdown"],
    "additionalProperties": False,
}


def _widget(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "type": {"const": kind},
            "x": {"type": "integer", "minimum": 0, "maximum": 23},
            "y": {"type": "integer", "minimum": 0},
            "width": {"type": "integer", "minimum": 1, "maximum": 24},
            "height": {"type": "integer", "minimum": 1, "maximum": 1000},
            "properties": properties,
        },
        "required": ["type", "properties", "x", "y", "width", "height"],
        "additionalProperties": False,
    }


def _where(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    """So that an error names the fault in the widget, and not that it is none of three."""
    return {"if": {"properties": {"type": {"const": kind}}}, "then": _widget(kind, properties)}


DASHBOARD_BODY: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "end": {"type": "string"},
        "periodOverride": {"enum": ["auto", "inherit"]},
        "start": {"type": "string"},
        "widgets": {
            "type": "array",
            "minItems": 1,
            "maxItems": 500,
            "items": {
                "properties": {"type": {"enum": ["metric", "log", "text"]}},
                "required": ["type"],
                "allOf": [
                    _where("metric", _METRIC_PROPERTIES),
                    _where("log", _LOG_PROPERTIES),
                    _where("text", _TEXT_PROPERTIES),
                ],
            },
        },
    },
    "required": ["widgets"],
    "additionalProperties": False,
}
