"""Write docs/reference.md from the live command line and the installed components."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mmtk import catalog
from mmtk.schema import describe

COMMANDS = (
    "run", "ablate", "status", "report", "check", "show", "diff", "schema", "list", "evaluate", "predict", "track",
    "doctor",
)  # fmt: skip
GROUPS = ("data inspect", "plugins", "plugins show", "plugins check", "plugins new")


def command_help(words: str) -> str:
    """The help text of one command, as a user sees it."""
    call = [sys.executable, "-m", "mmtk", *words.split(), "--help"]
    done = subprocess.run(call, capture_output=True, text=True, check=True, env={"COLUMNS": "100"})
    return done.stdout.strip()


def reference() -> str:
    """The whole page."""
    parts = ["# Reference", "", "Made by `make docs` from the installed version; do not edit.", ""]
    parts += ["## Commands", ""]
    for words in (*COMMANDS, *GROUPS):
        parts += [f"### mmtk {words}", "", "```text", command_help(words), "```", ""]
    parts += ["## Components", ""]
    for entry in catalog.entries():
        if entry.dist != catalog.OURS:
            continue
        lines = describe(entry.word).splitlines()
        body = [line for line in lines[2:] if not line.startswith("Defined in")]
        parts += [f"### {entry.word}", "", "```text", *body, "```", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(reference(), encoding="utf-8")
