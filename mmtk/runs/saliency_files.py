"""Files of measured saliency maps in a run directory."""

from __future__ import annotations

from pathlib import Path

from mmtk.tasks import file_name

FOLDER, CASES, MAPS, ABOUT = "saliency", "cases.parquet", "maps.npz", "about.json"


def maps_folder(run: Path, name: str) -> Path:
    """Folder of one kind of map, such as ``captum,method=grad-cam``."""
    return run / FOLDER / file_name(name)


def measured_folders(run: Path) -> list[Path]:
    """Folders of all kinds of maps that were measured."""
    return sorted(path.parent for path in (run / FOLDER).glob(f"*/{ABOUT}"))
