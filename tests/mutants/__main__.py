"""Apply every mutant to a copy of the project and show which of the ordinary tests kills it.

    python tests/mutants [NAME…]    # all, or those whose name contains one of the words

Exit code 0: every mutant is killed by each test that it names.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("mmtk", "recipes", "tests", "docs", "pyproject.toml")
# What tests import besides mmtk: loaded once, so that a mutant costs its test and not ten seconds of imports.
HEAVY = (
    "pytest", "hypothesis", "numpy", "pandas", "scipy.stats", "torch", "torchvision", "torchmetrics", "timm",
    "sklearn.metrics", "skimage.metrics", "statsmodels.api", "monai.metrics", "segmentation_models_pytorch",
    "safetensors.torch", "lightning_fabric", "pydantic", "PIL.Image",
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A patch of one file, where the bug was seen, and the tests that have to fail on it."""

    name: str
    source: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read() -> list[Mutant]:
    """All mutants of ``mutants.toml``; an error for a patch that does not fit its file exactly once."""
    found = []
    for table in tomllib.loads(Path(__file__).with_name("mutants.toml").read_text(encoding="utf-8"))["mutant"]:
        mutant = Mutant(**{**table, "tests": tuple(table["tests"])})
        count = (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)
        if count != 1:
            sys.exit(f"mutant '{mutant.name}': its text stands {count} times in {mutant.file}, not once.")
        found.append(mutant)
    return found


def copied(mutant: Mutant, folder: Path) -> None:
    """The project with the mutant's patch."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(
                source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "images", "results")
            )
        else:
            shutil.copy(source, folder / part)
    file = folder / mutant.file
    file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")


def in_child(mutant: Mutant, folder: Path) -> None:
    """Run the mutant's tests in this (forked) process; exit 0 only if every one of them fails in its call."""
    import pytest
    from hypothesis import Phase, settings

    settings.register_profile("found", phases=[Phase.explicit, Phase.generate])  # one failure is enough
    settings.load_profile("found")

    class Outcomes:
        """Which tests failed in the test itself: a broken fixture or import kills nothing."""

        def __init__(self) -> None:
            self.failed: set[str] = set()
            self.ran: set[str] = set()

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            name = report.nodeid.split("[")[0]
            self.ran.add(name)
            if report.failed and report.when == "call":
                self.failed.add(name)

    os.chdir(folder)
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    outcomes = Outcomes()
    pytest.main(
        ["-q", "-x" if len(mutant.tests) == 1 else "-q", "-p", "no:cacheprovider", *mutant.tests], [outcomes]
    )
    wanted = {test.split("[")[0] for test in mutant.tests}
    os._exit(0 if wanted <= outcomes.failed else 2 if wanted <= outcomes.ran else 3)


def results(mutants: Sequence[Mutant], jobs: int) -> Iterator[tuple[Mutant, int, float, str]]:
    """(mutant, exit code, seconds, what its tests printed), as each ends."""
    with tempfile.TemporaryDirectory() as base:
        waiting = list(mutants)
        running: dict[int, tuple[Mutant, float, Path]] = {}
        while waiting or running:
            while waiting and len(running) < jobs:
                mutant = waiting.pop(0)
                folder = Path(base) / re.sub(r"\W+", "-", mutant.name)
                folder.mkdir()
                copied(mutant, folder)
                if not (child := os.fork()):
                    in_child(mutant, folder)
                running[child] = (mutant, time.monotonic(), folder)
            child, status = os.wait()
            mutant, begun, folder = running.pop(child)
            said = (folder / "output.txt").read_text(errors="replace")
            shutil.rmtree(folder)
            yield mutant, os.waitstatus_to_exitcode(status), time.monotonic() - begun, said


def main() -> int:
    """Print the table; 1 if a mutant survives."""
    words = [word.lower() for word in sys.argv[1:]]
    mutants = [m for m in read() if not words or any(word in m.name.lower() for word in words)]
    for module in HEAVY:
        __import__(module)
    assert "mmtk" not in sys.modules, "the mutants would not be what is tested"
    outcome = {0: "killed", 2: "SURVIVED", 3: "NOT RUN"}
    bad = 0
    for number, (mutant, code, seconds, said) in enumerate(results(mutants, os.cpu_count() or 1), 1):
        bad += code != 0
        tests = ", ".join(test.rpartition("::")[2] for test in mutant.tests)
        print(
            f"{number:3} {outcome.get(code, f'exit {code}'):9} {seconds:5.1f} s  {mutant.name:36} {tests}",
            flush=True,
        )
        if code:
            print(said[-3000:])
    print(f"{len(mutants) - bad} of {len(mutants)} mutants killed.")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
