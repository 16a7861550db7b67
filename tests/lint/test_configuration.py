"""``[tool.pinsafe]`` in pyproject.toml."""

from pathlib import Path

import pytest

from cdk_pinsafe.errors import LintError
from cdk_pinsafe.lint.run import lint

SQL = "SET search_path TO app;\nLISTEN x;\nSELECT nextval('n');\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an SQL file, and one in a subfolder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.sql").write_text(SQL)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.sql").write_text(SQL)
    return tmp_path


def found(*paths: str, select: tuple[str, ...] = (), ignore: tuple[str, ...] = ()) -> dict[str, list[str]]:
    return {
        report.path: [one.rule.id for one in report.findings]
        for report in lint(paths, select=select, ignore=ignore)
        if report.path.endswith(".sql")
    }


def test_no_configuration_checks_all_rules(project: Path) -> None:
    assert found(".") == {"a.sql": ["set", "listen", "sequence"], "below/b.sql": ["set", "listen", "sequence"]}


def test_select_and_ignore(project: Path) -> None:
    """The command line's select replaces the file's; its ignore is added."""
    (project / "pyproject.toml").write_text('[tool.pinsafe]\nselect = ["set", "listen"]\nignore = ["listen"]\n')
    assert found("a.sql") == {"a.sql": ["set"]}
    assert found("a.sql", select=("sequence",)) == {"a.sql": ["sequence"]}
    assert found("a.sql", ignore=("set",)) == {"a.sql": []}


def test_nearest_configuration_applies(project: Path) -> None:
    """The configurations of parent folders do not add to it."""
    (project / "pyproject.toml").write_text('[tool.pinsafe]\nselect = ["set"]\n')
    (project / "below" / "pyproject.toml").write_text('[tool.pinsafe]\nselect = ["listen"]\n')
    assert found(".") == {"a.sql": ["set"], "below/b.sql": ["listen"]}
    (project / "below" / "pyproject.toml").write_text('[tool.other]\nname = "x"\n')
    assert found(".") == {"a.sql": ["set"], "below/b.sql": ["set"]}


def test_excluded_files_are_not_read(project: Path) -> None:
    """Not even if they are named."""
    (project / "pyproject.toml").write_text('[tool.pinsafe]\nexclude = ["below/", "!keep"]\n')
    assert list(found(".", "below/b.sql")) == ["a.sql"]


def test_per_file_ignores(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.pinsafe.per-file-ignores]\n"below/*.sql" = ["set"]\n"b.*" = ["listen"]\n'
    )
    assert found(".") == {"a.sql": ["set", "listen", "sequence"], "below/b.sql": ["sequence"]}


def test_settings_make_a_set_redundant(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.pinsafe.settings]\nsearch_path = ["app", "Other"]\njit = false\nhnsw.iterative_scan = "relaxed_order"\n'
        '"ivfflat.probes" = 10\n'
    )
    (project / "a.sql").write_text(
        'SET search_path TO app, "Other";\nSET jit = off;\nSET hnsw.iterative_scan = relaxed_order;\n'
        "SET ivfflat.probes = 10;\nSET work_mem = '1MB';\n"
    )
    [report] = lint(["a.sql"])
    assert ["redundant" in one.remedy for one in report.findings] == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            "[tool.pinsafe]\nselct = []",
            r"'selct' is not known; expected exclude, ignore, per-file-ignores, select, settings",
        ),
        ("[tool.pinsafe]\nselect = 'set'", "select expects a list of strings, got 'set'"),
        ("[tool.pinsafe]\nselect = ['sets']", "select: there is no rule 'sets'; did you mean set"),
        ("[tool.pinsafe]\nexclude = [1]", r"exclude expects a list of strings, got \[1\]"),
        ("[tool.pinsafe]\nper-file-ignores = []", "per-file-ignores expects a table"),
        ("[tool.pinsafe.per-file-ignores]\n'*' = 'set'", "expects a list of strings, got 'set'"),
        ("[tool.pinsafe.settings]\nsearch_path = 'a, b'", "expects a list, got the one string"),
        ("[tool.pinsafe.settings]\njit = 1979-05-27", "got a value of type date"),
        ("[tool]\npinsafe = 1", "expected a table, got 1"),
        ("[tool.pinsafe\n", "is not TOML"),
    ],
)
def test_invalid_configuration(project: Path, toml: str, message: str) -> None:
    (project / "pyproject.toml").write_text(toml)
    with pytest.raises(LintError, match=message) as caught:
        found(".")
    assert str(project / "pyproject.toml") in str(caught.value)


def test_broken_toml_without_pinsafe_is_ignored(project: Path) -> None:
    (project / "pyproject.toml").write_bytes(b"\xff[[[")
    assert len(found(".")) == 2
