"""The report as text, JSON and HTML, of the same log."""

import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from cdk_pinsafe.cli import main
from cdk_pinsafe.pinning.log_lines import REASON_OVERSIZED, REASON_PARSE, REASON_SETTINGS, pinned

from ..docs.pages import page
from .browser import PROGRAM, Browser
from .generator import START, Habit, log
from .picture import EXAMPLE, PICTURE, SHORT_EXAMPLE, SIZE

QUIET = "\n".join(log(300, pinning=0))


def run(directory: Path, form: str, text: str = EXAMPLE, status: int = 1) -> str:
    """The output of the command for a log."""
    (directory / "orders.log").write_text(text, encoding="utf-8")
    ran = CliRunner().invoke(main, ["logs", "orders.log", "--format", form])
    assert ran.exit_code == status, ran.output
    return ran.stdout


@pytest.fixture(autouse=True)
def _chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_guide_shows_the_text_report(tmp_path: Path) -> None:
    shown = run(tmp_path, "text", SHORT_EXAMPLE)
    assert f"```text\n$ pinsafe logs orders.log\n{shown}```\n" in page("logs"), shown


def test_text_report_ends_with_remedies(tmp_path: Path) -> None:
    """The settings are Python."""
    shown = run(tmp_path, "text")
    settings = re.search(r"^ +settings=(\{.*?^ +\})$", shown, re.DOTALL | re.MULTILINE)
    assert settings
    assert eval(settings[1]) == {"search_path": ..., "client_min_messages": "warning", "timezone": "UTC"}
    advice = shown[settings.end() :]
    assert "Knex: drop searchPath" in advice
    assert "nothing of this was tried on AWS" in " ".join(advice.split())


def test_nothing_pinned(tmp_path: Path) -> None:
    assert run(tmp_path, "text", QUIET, 0).startswith("No session was pinned.")
    assert json.loads(run(tmp_path, "json", QUIET, 0))["pins"] == 0
    assert "No session was pinned." in run(tmp_path, "html", QUIET, 0)


def test_json_has_stable_names(tmp_path: Path) -> None:
    document = json.loads(run(tmp_path, "json"))
    assert document["version"] == 1
    names = "inputs bytes first last lines only_pins unknown pins joined client_connections chart conditions digests"
    names += " clients settings client_options folded notes caveat"
    assert set(document) == {"version", *names.split()}
    digest = "condition conditions title digest reason others count joined first last client_connections bars clients"
    assert set(document["digests"][0]) == {*digest.split(), "remedies", "evidence"}
    condition = {"condition", "title", "count", "bars", "evidence", "sources"}
    assert all(set(row) == condition for row in document["conditions"])
    for rows in (document["conditions"], document["digests"]):
        assert sum(row["count"] for row in rows) == document["pins"] == sum(sum(row["bars"]) for row in rows)
        assert all(len(row["bars"]) == document["chart"]["bars"] for row in rows)
    assert document["client_connections"] == {"count": document["pins"], "exact": True}
    assert document["first"] == "2026-03-02T00:00:00Z" == document["chart"]["start"]
    assert document["joined"] == sum(row["count"] for row in document["digests"] if row["condition"] == "set-config")
    assert {"client": "Knex", "option": "drop searchPath"}.items() <= document["client_options"][0].items()


def test_values_in_the_log_become_settings(tmp_path: Path) -> None:
    """A parameter with two values gets none."""
    lines = [
        pinned(START, 1, 1, REASON_SETTINGS, "set statement_timeout = '30s'"),
        pinned(START, 2, 1, REASON_SETTINGS, "set lock_timeout = '1s'"),
        pinned(START, 3, 1, REASON_SETTINGS, "set lock_timeout = '2s'"),
    ]
    document = json.loads(run(tmp_path, "json", "\n".join(lines)))
    values = {setting["name"]: (setting["value"], setting["origin"]) for setting in document["settings"]}
    assert values == {"statement_timeout": ("30s", "as logged"), "lock_timeout": (None, "")}


def test_pins_without_digest(tmp_path: Path) -> None:
    lines = [
        pinned(START, 1, 1, REASON_SETTINGS),
        pinned(START, 2, 1, REASON_PARSE),
        pinned(START, 3, 1, REASON_OVERSIZED),
    ]
    shown = " ".join(run(tmp_path, "text", "\n".join(lines)).split())
    assert "enhanced logging" in shown
    assert "since November 2023" in shown
    assert "(no digest) The connection ran a SQL query which exceeded the 16384 byte limit" in shown


def test_output_is_written_to_a_file(tmp_path: Path) -> None:
    printed = run(tmp_path, "html")
    ran = CliRunner().invoke(main, ["logs", "orders.log", "--format", "html", "--output", "report.html"])
    assert (ran.exit_code, ran.output) == (1, "")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == printed


class Page(HTMLParser):
    """Notes elements, attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


ATTACKS = [
    "<script>document.title = 'owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "'><svg onload=document.title='owned'>",
    "</code></table></style></title><script>document.title='owned'</script>",
    "<a href=javascript:alert(1)>x</a><iframe src=http://127.0.0.1:9/></iframe>",
    "&lt;b&gt; ]]> <!-- --!> <![CDATA[",
    "<style>body{background:url(http://127.0.0.1:9/)}</style>",
]


def hostile() -> str:
    """A log with markup in each place of a report's text."""
    lines = [pinned(START, n, 1, REASON_SETTINGS, f"set a.b = '{attack}'") for n, attack in enumerate(ATTACKS)]
    lines += [pinned(START, 100 + n, 1, attack) for n, attack in enumerate(ATTACKS)]
    lines += [f"unknown {attack}" for attack in ATTACKS]
    return "\n".join(lines)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """Markup in digests, reasons and unknown lines adds no element and no attribute."""
    page = Page(run(tmp_path, "html", hostile()))
    for attack in ATTACKS[:4]:
        assert attack in page.text
    assert not {"script", "img", "iframe", "object", "base", "form", "link"} & set(page.elements)
    assert page.elements.count("style") == 1
    assert [name for name, _ in page.attributes if name.startswith("on") or name == "style"] == []
    links = [value for name, value in page.attributes if name in ("href", "src")]
    assert [link for link in links if not link.startswith("https://")] == []


def test_file_names_stay_text(tmp_path: Path) -> None:
    (tmp_path / "<b>x").write_text(QUIET, encoding="utf-8")
    assert "<b>x" in Page(CliRunner().invoke(main, ["logs", "<b>x", "--format", "html"]).stdout).text


needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
def test_page_in_a_browser(browser: Browser, tmp_path: Path, width: int, dark: bool) -> None:
    """No requests, no complaints; fits the screen, and shows all bars in the color scheme."""
    text = run(tmp_path, "html")
    document = json.loads(run(tmp_path, "json"))
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    browser.resize(width, dark=dark)
    browser.open(tmp_path / "report.html")
    assert browser.requests == [(tmp_path / "report.html").as_uri()]
    assert browser.complaints == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate("document.querySelectorAll('h1, h2').length") == 5
    drawn = "[...document.querySelectorAll('.bar')].filter(bar => bar.getBoundingClientRect().height > 0).length"
    bars = [sum(counts) for counts in zip(*(row["bars"] for row in document["conditions"]), strict=True)]
    assert browser.evaluate(drawn) == sum(1 for bar in bars if bar)
    lightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    assert (browser.evaluate(lightness) < 128) == dark
    shown = browser.evaluate("document.querySelector('.digest').textContent")
    assert shown == document["digests"][0]["digest"]


@needs_browser
def test_hostile_page_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(run(tmp_path, "html", hostile()), encoding="utf-8")
    browser.resize(390)
    browser.open(tmp_path / "report.html")
    assert browser.requests == [(tmp_path / "report.html").as_uri()]
    assert browser.complaints == []
    assert browser.evaluate("document.title") == f"{2 * len(ATTACKS)} sessions were pinned."
    assert browser.evaluate("document.documentElement.scrollWidth") == 390


@needs_browser
def test_content_security_policy_blocks_markup(browser: Browser, tmp_path: Path) -> None:
    """Even markup in the page runs and loads nothing."""
    text = run(tmp_path, "html", QUIET, 0)
    file = tmp_path / "report.html"
    file.write_text(text.replace("</main>", "".join(ATTACKS) + "</main>"), encoding="utf-8")
    browser.open(file)
    assert browser.evaluate("document.title") == "No session was pinned."
    assert [url for url in browser.requests if url != file.as_uri() and "127.0.0.1" in url] == []
    assert any("Content Security Policy" in unescape(complaint) for complaint in browser.complaints)


@needs_browser
def test_picture_of_the_guide(browser: Browser, tmp_path: Path) -> None:
    data = PICTURE.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == SIZE
    assert len(data) < 300_000


def test_text_report_shows_ten_digests(tmp_path: Path) -> None:
    """JSON and HTML show all."""
    habits = tuple(Habit(1, f"set a.p{number}=$1") for number in range(30))
    text = "\n".join(log(2000, pinning=0.5, habits=habits))
    assert "and 20 more" in run(tmp_path, "text", text)
    assert len(json.loads(run(tmp_path, "json", text))["digests"]) == 30
    assert run(tmp_path, "html", text).count('class="digest"') == 30
