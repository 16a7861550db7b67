"""PostgreSQL's regression tests, from the source package of pglast."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cdk_pinsafe.lint.run import lint

SOURCE = ["--no-deps", "--no-binary", ":all:", "pglast==8.8"]


def test_regression_sql_of_postgres(long: bool, tmp_path: Path) -> None:
    """At most 1 % of the statements is not parsed; those are wrong on purpose."""
    if not long:
        pytest.skip("downloads a package; runs with --long")
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *SOURCE, "--dest", tmp_path], check=True)
    [archive] = tmp_path.glob("pglast-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    [folder] = tmp_path.glob("pglast-*/libpg_query/test/sql/postgres_regress")
    reports = list(lint([str(folder)]))
    statements = sum(report.statements for report in reports)
    unparsed = sum(len(report.not_parsed) for report in reports)
    findings = sum(len(report.findings) for report in reports)
    share = unparsed / statements
    print(f"{len(reports)} files, {statements} statements, {unparsed} not parsed ({share:.2%}), {findings} findings")
    assert len(reports) > 200
    assert statements > 40_000
    assert share < 0.01
