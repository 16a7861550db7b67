"""What reading a log costs, against grep on the same file in one run, and how little memory it takes."""

import os
import re
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.logs.generator import START, log

ROUNDS = 5
MEGABYTE = 1_000_000
PINSAFE = str(Path(sys.executable).with_name("pinsafe"))

READER = """
import sys
from cdk_pinsafe.cli import main
try:
    main(["logs", sys.argv[1], "--format", "json"])
finally:
    # Not what getrusage says, which begins with the peak of the process that started this one.
    sys.stderr.writelines(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
"""


def hours() -> Iterator[bytes]:
    """A log in pieces of about 6 MB, an hour each: other hours and other clients, the same lines otherwise."""
    lines = log(40_000, hours=0.99, pinning=0.12)
    text = "\n".join(lines) + "\n"
    connection = re.compile(r"(?<=\[clientConnection=)\d+")
    number = 0
    while True:
        when = START + timedelta(hours=number)
        number += 1
        moved = text.replace(f"{START:%Y-%m-%dT%H}", f"{when:%Y-%m-%dT%H}")
        yield connection.sub(rf"\g<0>{number}", moved).encode()


@pytest.fixture
def big_log(tmp_path: Path, long: bool) -> Path:
    """100 MB of a log, or 1 GB, of which three lines in a hundred are pins."""
    path = tmp_path / "big.log"
    size = (1000 if long else 100) * MEGABYTE
    with path.open("wb") as file:
        for piece in hours():
            file.write(piece)
            if file.tell() >= size:
                return path
    raise AssertionError


def seconds(*command: str) -> tuple[float, str, str]:
    """Processor time, which others on the machine disturb less than the clock's; output; errors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.returncode in (0, 1), ran.stderr
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, ran.stdout, ran.stderr


@pytest.mark.benchmark
def test_reading_keeps_up_with_grep(big_log: Path, long: bool) -> None:
    """1 GB is read, counted and reported at no less than a quarter of what `grep -c` reads; 100 MB without the start.

    That takes 0.1 s whatever the size. With three pins in a hundred lines it was 0.26 to 0.27 on a machine with nothing
    else to do; each pin costs as much as some 25 other lines.
    """
    empty = big_log.with_name("empty.log")
    empty.touch()
    commands = {
        "grep": ("grep", "-c", "was pinned", str(big_log)),
        "logs": (PINSAFE, "logs", str(big_log), "--format", "json"),
        "start": (PINSAFE, "logs", str(empty), "--format", "json"),
    }
    rounds = [{name: seconds(*command) for name, command in commands.items()} for _ in range(ROUNDS + 1)][1:]
    grep, logs, start = (statistics.median(one[name][0] for one in rounds) for name in commands)
    ratio = grep / (logs if long else logs - start)
    size = big_log.stat().st_size / 1e9
    pins = int(rounds[0]["grep"][1])
    print(
        f"\n{size:.2f} GB with {pins:,} pins: grep {size / grep:.2f} GB/s, pinsafe logs {size / logs:.2f} GB/s "
        f"({logs:.2f} s, of which {start:.2f} s to start), {ratio:.3f} of grep's throughput"
    )
    assert f'"pins": {pins},' in rounds[0]["logs"][1]
    assert ratio >= 0.25


@pytest.mark.benchmark
def test_memory_is_flat(big_log: Path) -> None:
    """The whole log takes at most 24 MB more than its first tenth: what it remembers is bounded, and fills up."""
    tenth = big_log.with_name("tenth.log")
    with big_log.open("rb") as file:
        tenth.write_bytes(file.read(big_log.stat().st_size // 10))
    peaks = [int(seconds(sys.executable, "-c", READER, str(path))[2].split()[1]) / 1024 for path in (tenth, big_log)]
    print(f"\npeak memory: {peaks[0]:.0f} MB for a tenth, {peaks[1]:.0f} MB for all")
    assert peaks[1] - peaks[0] <= 24
