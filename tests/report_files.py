"""Files of a report and their bytes."""

from __future__ import annotations

from pathlib import Path


def report_files(folder: Path) -> dict[str, bytes]:
    """Content of every file of a report by its path in the folder, without those that are hidden."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
