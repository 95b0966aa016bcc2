"""Films under names as people have them, and runs to predict with that need no training."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image
from tiny import tiny

import mmtk
from mmtk.data import sources
from mmtk.io.files import write_json, write_text
from mmtk.model import checkpoint
from mmtk.runs.folder import RunDir

FILM = np.random.default_rng(0).integers(0, 256, (24, 20), dtype=np.uint8)
# Names of films, relative to their folder: each of a kind that once broke something, or breaks other programs.
NAMES = [
    b"plain.png",
    b"R\xf6ntgen.png",
    b"a/film.png",
    b"b/film.png",
    b"c/FILM.png",
    b"film-2.png",
    b"film-mask.png",
    b"Caf\xc3\xa9.png",
    b"sub/Cafe\xcc\x81.png",
    b"x" * 246 + b".png",
    b"other/" + b"x" * 246 + b".png",
    b"\xe6\x9f\x93" * 80 + b".png",
    b"a:b?.png",
    b"a<b>.png",
    b"line\nbreak.png",
    b"=1+1.png",
    b"-rf.png",
    b"[red].png",
    b"$HOME`x`.png",
    b"dots.in.name.png",
    b"space .png",
    b"CON.png",
]


def save(path: Path, pixels: np.ndarray = FILM) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def films(folder: Path) -> list[Path]:
    """A film under each of the names."""
    return [save(folder / os.fsdecode(name)) for name in NAMES]


def untrained_run(path: Path, organs: tuple[str, ...] = ("lung",)) -> Path:
    """A run directory of both tasks with weights of chance: two organs need two channels."""
    separate = {
        f"data__segmentation__{domain}__organs": "separate" for domain in ("source", "cross") if len(organs) > 1
    }
    recipe, folder = tiny(**separate), RunDir(path)
    net, targets = (
        mmtk.build_model(recipe),
        {task: asdict(target) for task, target in sources.targets(recipe).items()},
    )
    targets["segmentation"]["names"] = (*organs, *targets["segmentation"]["names"][len(organs) :])
    folder.best.parent.mkdir(parents=True)
    checkpoint.save(folder.best, {"net.": net}, None, {})
    write_text(folder.recipe_file, recipe.toml())
    write_json(folder.provenance_file, {"targets": targets, "data": {}})
    return path


def dicom(path: Path, spacing: tuple[float, float]) -> Path:
    """A film with its pixel spacing (row, column) in mm."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, generate_uid()
    meta.MediaStorageSOPInstanceUID = generate_uid()
    film = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    film.Rows, film.Columns = FILM.shape
    film.PixelSpacing = list(spacing)
    film.BitsAllocated = film.BitsStored = 8
    film.HighBit, film.PixelRepresentation, film.SamplesPerPixel = 7, 0, 1
    film.PhotometricInterpretation, film.PixelData = "MONOCHROME2", FILM.tobytes()
    pydicom.dcmwrite(path, film)
    return path
