"""Apply every mutant to a copy of the project and show which of the ordinary tests kills it.

    python tests/mutants [NAME…]    # all, or those whose name contains one of the words

Exit code 0: every mutant is killed by each test that it names. ``MMTK_LOOPS`` may ask for a share of all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import fork_server
from loops import some

PARTS = ("mmtk", "recipes", "tests", "docs", "pyproject.toml")
SECONDS = 300  # for all tests of a mutant
STACKS = 60  # a test that takes longer shows where each of its threads is


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
    """The project with the mutant's patch, and the plugin that it is in."""
    for part in (*PARTS, *plugin_of(mutant)):
        source = ROOT / part
        if source.is_dir():
            # Compiled files come along and stay valid, since the times of their sources do.
            pictures = ("images", "results") if part == "docs" else ()
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns(*pictures))
        else:
            shutil.copy(source, folder / part)
    file = folder / mutant.file
    file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")


def plugin_of(mutant: Mutant) -> list[str]:
    """Folder of the plugin that a mutant is in; nothing for one of the core."""
    parts = Path(mutant.file).parts
    return ["/".join(parts[:2])] if parts[0] == "plugins" else []


def tested(mutant: Mutant, base: Path) -> tuple[Mutant, str, float, str]:
    """(mutant, its outcome, seconds, what its tests printed), from a process that imports the copy."""
    begun = time.monotonic()
    folder = base / re.sub(r"\W+", "-", mutant.name)
    folder.mkdir()
    copied(mutant, folder)
    argv = [fork_server.python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=outcomes.xml"]
    plugins = plugin_of(mutant)  # their tests have no conftest.py, which declares the profile
    argv += [f"-ofaulthandler_timeout={STACKS}", *([] if plugins else ["--hypothesis-profile=unshrunk"])]
    argv += mutant.tests
    # On CI pytest spells out a difference of any length, and takes minutes for one of two checkpoints.
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    env["PYTHONPATH"] = os.pathsep.join(map(str, (folder, *(folder / plugin for plugin in plugins))))
    # Into a file: a pipe would also wait for whoever inherits it, and lose what was said before the time was up.
    with open(folder / "said.txt", "w+", encoding="utf-8", errors="replace") as file:
        try:
            subprocess.run(argv, cwd=folder, env=env, timeout=SECONDS, stdout=file, stderr=subprocess.STDOUT)
            outcome = outcome_of(mutant, folder / "outcomes.xml")
        except subprocess.TimeoutExpired:
            outcome = "NO END"
        file.seek(0)
        said = file.read()
    shutil.rmtree(folder)
    return mutant, outcome, time.monotonic() - begun, said


def outcome_of(mutant: Mutant, file: Path) -> str:
    """Killed only if every test fails in its call: a broken fixture or import ("error") kills nothing."""
    cases = list(ElementTree.parse(file).iter("testcase"))
    wanted = {test.rpartition("::")[2].split("[")[0] for test in mutant.tests}
    ran = {case.attrib["name"].split("[")[0] for case in cases if case.find("error") is None}
    failed = {case.attrib["name"].split("[")[0] for case in cases if case.find("failure") is not None}
    return "killed" if wanted <= failed else "SURVIVED" if wanted <= ran else "NOT RUN"


def results(mutants: Sequence[Mutant], jobs: int) -> Iterator[tuple[Mutant, str, float, str]]:
    """What :func:`tested` says of each, as each ends."""
    with tempfile.TemporaryDirectory() as base, ThreadPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(tested, mutant, Path(base)) for mutant in mutants]):
            yield future.result()


def main() -> int:
    """Print the table; 1 if a mutant survives."""
    words = [word.lower() for word in sys.argv[1:]]
    mutants = read()
    mutants = [m for m in mutants if any(word in m.name.lower() for word in words)] if words else some(mutants)
    bad = 0
    for number, (mutant, outcome, seconds, said) in enumerate(results(mutants, os.cpu_count() or 1), 1):
        bad += outcome != "killed"
        tests = ", ".join(test.rpartition("::")[2] for test in mutant.tests)
        print(f"{number:3} {outcome:9} {seconds:5.1f} s  {mutant.name:36} {tests}", flush=True)
        if outcome != "killed":
            print(said[-3000:])
    print(f"{len(mutants) - bad} of {len(mutants)} mutants killed.")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
