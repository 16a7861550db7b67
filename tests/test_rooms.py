"""Who may import whom, and what the package's root costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import cdk_pinsafe

ROOT = Path(cdk_pinsafe.__file__).parent

MAY_IMPORT = {
    "errors": set(),
    "contract": set(),
    "dsn": {"errors"},
    "protocol": set(),
    "terminal": set(),
    "rds_proxy": set(),
    "settings": {"errors"},
    "pinning": {"errors", "rds_proxy", "settings"},
    "audit": {"dsn", "errors", "pinning", "terminal"},
    "probe": {"dsn", "errors", "pinning", "rds_proxy", "terminal"},
    "lint": {"errors", "settings", "pinning", "terminal"},
    "logs": {"errors", "pinning", "terminal"},
    "applier": {"contract", "errors", "settings"},
    "cdk": {"contract", "errors", "pinning", "rds_proxy", "settings"},
    "drift": {"dsn", "errors", "settings", "applier", "terminal"},
    "emulator": {"dsn", "errors", "pinning", "protocol", "rds_proxy", "terminal"},
    "localpg": {"errors", "protocol"},
    "localcloud": {"errors", "pinning", "rds_proxy", "emulator", "localpg"},
    "rehearsal": {
        "contract",
        "errors",
        "pinning",
        "rds_proxy",
        "settings",
        "emulator",
        "localpg",
        "localcloud",
        "terminal",
    },
    "testing": {"dsn", "errors", "pinning", "emulator", "terminal"},
}
# The command line imports what a command needs when the command runs.
MAY_IMPORT["cli"] = set(MAY_IMPORT)
THIRD_PARTY = {
    "errors": set(),
    "contract": set(),
    "dsn": {"psycopg"},
    "protocol": set(),
    "terminal": set(),
    "rds_proxy": set(),
    "settings": set(),
    "pinning": {"google", "postgast"},
    "audit": {"psycopg", "rich"},
    "probe": {"psycopg", "rich"},
    "lint": {"pathspec", "rich", "tree_sitter"},
    "logs": {"boto3", "botocore", "mypy_boto3_logs", "rich"},
    "applier": {"boto3", "botocore", "pg8000"},
    "cdk": {"aws_cdk", "constructs", "jsii"},
    "drift": {"psycopg", "rich"},
    "emulator": {"psycopg", "rich", "uvloop"},
    "localpg": {"pg8000", "trustme"},
    "localcloud": {
        "boto3",
        "botocore",
        "hypercorn",
        "ministack",
        "mypy_boto3_cloudformation",
        "mypy_boto3_cloudwatch",
        "mypy_boto3_logs",
        "mypy_boto3_rds",
        "mypy_boto3_secretsmanager",
    },
    "rehearsal": {"boto3", "botocore", "pg8000", "psycopg", "rich"},
    "testing": {"aws_cdk", "psycopg", "pytest"},
    "cli": {"click", "rich"},
}


def imports(path: Path) -> Iterator[str]:
    """The absolute names of what a file imports, anywhere in it."""
    package = ["cdk_pinsafe", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def files(room: str) -> list[Path]:
    return [ROOT / f"{room}.py"] if (ROOT / f"{room}.py").exists() else sorted((ROOT / room).rglob("*.py"))


def test_every_file_is_in_a_room() -> None:
    """A new room states here whom it may import, and what it is for in the package's docstring."""
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}
    assert rooms - {"__init__"} == set(MAY_IMPORT)
    assert [room for room in MAY_IMPORT if f"\n    {room:<12}" not in str(cdk_pinsafe.__doc__)] == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_room_imports_only_the_rooms_it_may(room: str) -> None:
    """The rooms have one way of flow, without circles."""
    used = {
        name.split(".")[1]
        for path in files(room)
        for name in imports(path)
        if name.startswith("cdk_pinsafe.") and name.split(".")[1] != room
    }
    assert used <= MAY_IMPORT[room]


def test_modules_have_one_way_of_flow() -> None:
    """No module imports one that imports it, through however many others, for types or within functions included."""
    modules = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    used = {
        module: {name if name in modules else name.rpartition(".")[0] for name in imports(path)} & set(modules)
        for module, path in modules.items()
    }
    TopologicalSorter(used).prepare()  # raises a CycleError, which names the circle


@pytest.mark.parametrize("room", THIRD_PARTY)
def test_room_imports_only_the_packages_it_may(room: str) -> None:
    """The Lambda carries pg8000 alone, and aws_cdk is imported in one room and the tests' helper."""
    used = {name.split(".")[0] for path in files(room) for name in imports(path)}
    assert used - set(sys.stdlib_module_names) - {"cdk_pinsafe"} <= THIRD_PARTY[room]


def test_public_names() -> None:
    """The names that users import are a promise; each is there."""
    assert sorted(cdk_pinsafe.__all__) == [
        "DatabaseSettings",
        "EnhancedLogging",
        "EnhancedLoggingOnAlarm",
        "EnhancedLoggingRenewal",
        "IPinSafeProxy",
        "OnError",
        "OnRoleOverride",
        "PinSafeChecks",
        "PinSafePostgres",
        "PinSafeProxy",
        "PinningAlarms",
        "PinningDashboard",
        "PinningLogs",
        "PostgresDatabase",
        "Recycle",
    ]
    assert all(hasattr(cdk_pinsafe, name) for name in cdk_pinsafe.__all__)
    assert set(cdk_pinsafe.__all__) <= set(dir(cdk_pinsafe))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(cdk_pinsafe, "nothing")  # noqa: B009


@pytest.mark.parametrize(
    "module",
    ["cdk_pinsafe", "cdk_pinsafe.applier.handler", "cdk_pinsafe.cli", "cdk_pinsafe.lint.run", "cdk_pinsafe.testing"],
)
def test_module_is_imported_without_aws_cdk(module: str) -> None:
    """Neither the Lambda nor the command line pays for aws_cdk, and the Lambda not for boto3 before it is needed."""
    code = f"import sys, {module}; print(*{{'aws_cdk', 'jsii', 'boto3'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
