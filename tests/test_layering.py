"""Which packages may import which, and what importing the package costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import cdk_pinsafe

ROOT = Path(cdk_pinsafe.__file__).parent

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


def files(package: str) -> list[Path]:
    """The modules of a subpackage, or the one module of that name."""
    module = ROOT / f"{package}.py"
    return [module] if module.exists() else sorted((ROOT / package).rglob("*.py"))


def test_layers_of_pyproject() -> None:
    """import-linter's contracts in pyproject.toml: each package imports lower layers only."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    ran = subprocess.run([*command, "--no-cache"], cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_package_is_listed() -> None:
    """A new package has a line in the package's docstring and a row here; the layers are exhaustive."""
    packages = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")} - {"__init__"}
    assert packages == set(THIRD_PARTY)
    assert [package for package in packages if f"\n    {package:<12}" not in str(cdk_pinsafe.__doc__)] == []


def test_no_module_imports_itself_indirectly() -> None:
    """Imports for types and within functions count, too."""
    modules = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    used = {
        module: {name if name in modules else name.rpartition(".")[0] for name in imports(path)} & set(modules)
        for module, path in modules.items()
    }
    TopologicalSorter(used).prepare()  # raises a CycleError, which names the cycle


@pytest.mark.parametrize("package", THIRD_PARTY)
def test_third_party_imports(package: str) -> None:
    """The Lambda carries pg8000 alone; only cdk and a helper for tests import aws_cdk."""
    used = {name.split(".")[0] for path in files(package) for name in imports(path)}
    assert used - set(sys.stdlib_module_names) - {"cdk_pinsafe"} <= THIRD_PARTY[package]


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
