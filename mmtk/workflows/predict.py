"""Results of ``mmtk predict``: masks, overlays and saliency maps, and a table with a row per image."""

from __future__ import annotations

import csv
import errno
import io
import itertools
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmtk.counts import counted
from mmtk.data.plan.film_choice import left_out
from mmtk.errors import MmtkError, folded, listing, report
from mmtk.images import files as image_files
from mmtk.images.files import image_name, pages_sentence
from mmtk.images.loader import read_frame_count, read_image, read_spacing
from mmtk.io.files import real_path
from mmtk.io.outputs import OutputFolder, refuse_among_films, refuse_inside, results_among
from mmtk.io.spelling import file_name, quoted, visible
from mmtk.model.predictor import Case, Predictor, find_images, load
from mmtk.report.tables.table import safe
from mmtk.runs.folder import RunDir
from mmtk.workflows.members import Runs, run_folders

TABLE = "predictions.csv"
COMMAND = "predict"
LONGEST = 230  # bytes of a file name, of the 255 that file systems take: the temporary name is longer
LONGEST_ORGAN = 60
FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no later image would fare better
WAITING = "not predicted: the command was stopped before"


@dataclass
class Row:
    """One row of the table: its columns, the names of its pictures among them, or an error; pages of the file."""

    image: Path
    cells: dict[str, str] = field(default_factory=dict)
    error: str = WAITING
    pages: int = 1


@dataclass(frozen=True)
class _Film:
    """Image as read: gray uint8 [H,W], mm per pixel (row, column) if known, stem of its pictures."""

    row: Row
    stem: str
    pixels: np.ndarray
    spacing: tuple[float, float] | None


def predict(
    run_dir: Runs,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    device: str = "auto",
    *,
    batch: int = 8,
    cell: str | None = None,
    quiet: bool = True,
) -> list[Row]:
    """Write pictures and ``predictions.csv`` for images and the images in folders; a row for every image.

    run_dir: a finished run directory or an exported folder, on ``device``; of several, or of the ``cell`` of a
        study, the probabilities are averaged
    images: files, or folders of images; ``batch`` of them go through the network at once
    quiet: print no progress, and not which masks are left out

    Refuses, before an image is read, an ``out`` in a folder of images, and names there that belong to others.
    Results of earlier predictions, and masks in the folders, are left out. What fails for one image is its row's
    error. At the end, pictures of an earlier prediction in ``out`` that the table does not name are removed,
    unless someone changed them since.
    """
    from rich.progress import track

    out, inputs = Path(out), [Path(path) for path in ([images] if isinstance(images, str | Path) else images)]
    _check_places(out, inputs)
    predictor = load(run_folders(run_dir, cell), device)
    paths = _films(inputs, quiet)
    ends = endings(predictor)
    stems = picture_stems(paths, list(ends.values()))
    folder = OutputFolder(out, COMMAND)
    rows = [Row(path) for path in paths]
    starts = range(0, len(rows), batch)
    names = [TABLE, *(f"{stem}{end}" for stem in stems for end in ends.values())]
    with folder.alone(names):
        if (count := sum(os.path.lexists(out / name) for name in names)) and not quiet:
            files = f"{counted(count, 'file')} of an earlier prediction in {quoted(out)}"
            print(folded(f"Replaces  {files}, which nobody has changed since.", sys.stdout))
        try:
            for start in track(starts, "Predicting", transient=True, disable=quiet):
                films = list(_read(zip(rows[start : start + batch], stems[start:], strict=False)))
                for film, case in zip(films, predictor([film.pixels for film in films]), strict=True):
                    with _error_noted(film.row):
                        film.row.cells |= numbers(case, predictor, film.spacing)
                        _draw(folder, film, case, ends, predictor)
                        film.row.error = ""
        finally:
            if any(row.error != WAITING for row in rows):
                _write_table(folder, rows, ends)
        _remove_stale(folder, rows, ends, quiet=quiet)
    if (sentence := pages_sentence({visible(row.image): row.pages for row in rows})) and not quiet:
        print(folded(f"Note  {sentence}", sys.stdout))
    return rows


def _remove_stale(folder: OutputFolder, rows: Iterable[Row], ends: Iterable[str], *, quiet: bool) -> None:
    """Remove the files of an earlier prediction that the new table does not name."""
    pictures = {row.cells[column] for row in rows for column in ends if column in row.cells}
    if (count := folder.remove_others({TABLE, *pictures})) and not quiet:
        files = f"{counted(count, 'file')} of an earlier prediction in {quoted(folder.path)}"
        print(folded(f"Removed  {files}, which the new table does not name.", sys.stdout))


def _films(inputs: Sequence[Path], quiet: bool) -> list[Path]:
    """Films of the inputs, each once, without pictures of mmtk, masks and strays; print what is left out."""
    every = _once(find_images(inputs), inputs)
    paths = _films_among(every, inputs)
    choice = left_out(inputs, paths)
    choice_sentences = [sentence for sentence in (_masks_sentence(choice.masks), *choice.sentences) if sentence]
    if choice_sentences:
        choice_sentences[-1] += " An image that is given by its own name is always predicted."
    for sentence in (_results_sentence(len(every) - len(paths)), _unread(inputs), *choice_sentences):
        if sentence and not quiet:
            print(folded(f"Left out  {sentence}", sys.stdout))
    return [path for path in paths if path not in choice.masks | choice.others]


def _once(paths: Iterable[Path], inputs: Collection[Path]) -> list[Path]:
    """Paths without those that name a file of an earlier one, as a film and its folder do; ``inputs`` stay.

    A link to a film is a film of its own name; a link to a folder is that folder.
    """
    unique: dict[Path, Path] = {}
    for path in paths:
        file = real_path(path.parent) / path.name
        unique[file] = path if path in inputs else unique.get(file, path)
    return [*unique.values()]


def _unread(inputs: Iterable[Path]) -> str:
    """Sentence on images below the given folders that are of no known format; "" for none."""
    folders = [path for path in inputs if os.path.isdir(path)]
    return image_files.unread_sentence(
        [path for folder in folders for path in image_files.find_images(folder, image_files.is_unread_image)]
    )


def _masks_sentence(masks: set[Path]) -> str:
    if not masks:
        return ""
    folders = listing(sorted({quoted(path.parent) for path in masks}), 3)
    return f"{len(masks)} {'masks' if len(masks) > 1 else 'mask'} among the images, in {folders}."


def _check_places(out: Path, paths: Sequence[Path]) -> None:
    """Refuse an output among inputs or other films, and a run directory as output or input."""
    if RunDir(out).is_run:
        hint = f"Choose another folder, such as --out {quoted(out / 'predictions')}"
        raise MmtkError("is a run directory, so no predictions are written among its files.", str(out), hint)
    for path in paths:
        if os.path.isdir(path) and RunDir(path).is_run:  # is_dir of Path raises for a name that is too long
            message = "is a run directory: its pictures are drawings, not images to predict."
            raise MmtkError(message, str(path), "Give the images, or the folder that they lie in.")
    refuse_inside(out, paths)
    if not any(real_path(path.parent) == real_path(out) for path in paths):
        refuse_among_films(out)


def _films_among(paths: Sequence[Path], inputs: Collection[Path]) -> list[Path]:
    """The images without the results of earlier predictions, and without other pictures of mmtk in folders."""
    earlier = results_among(paths, COMMAND)
    images = [path for path in paths if path not in earlier]
    if paths and not images:
        raise MmtkError("only results of earlier predictions were given.", str(paths[0]), "Give the images.")
    drawn = results_among(images) - {*inputs}
    if images and drawn.issuperset(images):
        message = "no film: mmtk itself drew all pictures there."
        raise MmtkError(
            message, str(images[0].parent), "Give films. A picture given by its own name is predicted."
        )
    return [path for path in images if path not in drawn]


def _results_sentence(count: int) -> str:
    return f"{counted(count, 'picture')} among the images that mmtk wrote." if count else ""


@contextmanager
def _error_noted(row: Row) -> Iterator[None]:
    """Print the error of one image and keep it in its row; go on with the others, unless the disk is full."""
    try:
        yield
    except OSError as error:
        row.error = error.strerror or str(error)
        if error.errno in FATAL:
            raise
        report(MmtkError(row.error, str(error.filename or row.image)))
    except Exception as error:  # decoders of broken files raise nearly everything
        errors = (
            error
            if isinstance(error, MmtkError)
            else MmtkError(f"{type(error).__name__}: {error}", str(row.image))
        )
        row.error = errors.message
        report(errors)


def _read(waiting: Iterable[tuple[Row, str]]) -> Iterator[_Film]:
    for row, stem in waiting:
        with _error_noted(row):
            film = _Film(row, stem, read_image(row.image), read_spacing(row.image))
            row.pages = read_frame_count(row.image)
        if row.error == WAITING:
            yield film


def numbers(case: Case, predictor: Predictor, spacing: tuple[float, float] | None) -> dict[str, str]:
    """Likeliest class, probability of each, and area of every organ in pixels, as share and in mm²."""
    cells = {}
    if case.classes is not None:
        probabilities = case.classes
        cells["class"] = max(probabilities, key=lambda name: probabilities[name])
        cells |= {f"p-{name}": f"{value:.6f}" for name, value in probabilities.items()}
    cells |= {f"disagreement-{name}": f"{value:.6f}" for name, value in case.disagreement.items()}
    if case.mask is not None:
        for organ, mask in zip(predictor.targets["segmentation"].names, case.mask, strict=True):
            pixels = int(mask.sum())
            cells[f"area-px-{organ}"] = str(pixels)
            cells[f"area-share-{organ}"] = f"{pixels / mask.size:.6f}"
            cells[f"area-mm2-{organ}"] = f"{pixels * spacing[0] * spacing[1]:.2f}" if spacing else ""
    return cells


# --- pictures ----------------------------------------------------------------------------------------------------


def endings(predictor: Predictor) -> dict[str, str]:
    """Endings of picture files by column of the table; organs with similar names are numbered."""
    ends = {}
    if "segmentation" in predictor.targets:
        organs = predictor.targets["segmentation"].names
        plain = [file_name(re.sub(r"[^\w.]+", "-", organ), LONGEST_ORGAN) for organ in organs]
        names = numbered(plain, lambda name: [name])
        for organ, name in zip(organs, names, strict=True):
            ends[f"mask-{organ}"] = "-mask.png" if len(organs) == 1 else f"-mask-{name}.png"
        ends["overlay"] = "-overlay.png"
    return ends | {"saliency": "-saliency.png"}


def picture_stems(paths: Sequence[Path], ends: Sequence[str]) -> list[str]:
    """Stem of every image's pictures, such that no two files have one name on any file system."""
    longest = LONGEST - max((len(end.encode()) for end in ends), default=0) - len("-9999")
    return numbered(
        [file_name(image_name(path), longest) for path in paths], lambda stem: [f"{stem}{end}" for end in ends]
    )


def numbered(names: Sequence[str], files: Callable[[str], Iterable[str]]) -> list[str]:
    """Number the names whose ``files`` would be the same, whatever their case and composition."""
    folded_names = {_folded(name) for name in names}
    used_names: set[str] = set()
    free_names = []
    for name in names:
        for number in itertools.count(1):
            free = name if number == 1 else f"{name}-{number}"
            file_names = {_folded(file) for file in files(free)}
            if not file_names & used_names and (number == 1 or _folded(free) not in folded_names):
                break
        used_names |= file_names
        free_names.append(free)
    return free_names


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _draw(folder: OutputFolder, film: _Film, case: Case, ends: Mapping[str, str], predictor: Predictor) -> None:
    from PIL import Image

    from mmtk.report.figures.overlay import contour_overlay
    from mmtk.report.figures.style import heat

    pictures: dict[str, np.ndarray] = {}
    if case.mask is not None:
        organs = predictor.targets["segmentation"].names
        pictures = {f"mask-{organ}": np.uint8(255) * mask for organ, mask in zip(organs, case.mask, strict=True)}
        pictures["overlay"] = contour_overlay(film.pixels, case.mask)
    if case.saliency is not None:
        pictures["saliency"] = (heat(film.pixels, case.saliency) * 255).astype(np.uint8)
    for column, pixels in pictures.items():
        name = f"{film.stem}{ends[column]}"
        with folder.file(name) as temporary:
            Image.fromarray(pixels).save(temporary, format="png")
        film.row.cells[column] = name


def _write_table(folder: OutputFolder, rows: Sequence[Row], ends: Iterable[str]) -> None:
    """Write one row per image in the order of the inputs; unknown values are empty."""
    text = _table_text(rows, ends)
    # Excel takes a table with umlauts for UTF-8 by this mark alone.
    encoding = "utf-8" if text.isascii() else "utf-8-sig"
    with folder.file(TABLE) as temporary:
        temporary.write_bytes(text.encode(encoding))


def _table_text(rows: Sequence[Row], ends: Iterable[str]) -> str:
    """The table as CSV, with the columns of pictures (``ends``) last."""
    column_names = dict.fromkeys(column for row in rows for column in row.cells)
    last = [column for column in ends if column in column_names]
    columns = ["image", *(column for column in column_names if column not in last), *last, "error"]
    file = io.StringIO(newline="")
    table = csv.DictWriter(file, columns, restval="")
    table.writerow({column: safe(column) for column in columns})
    for row in rows:
        texts = {"image": visible(row.image), **row.cells, "error": visible(row.error)}
        table.writerow({column: safe(text) for column, text in texts.items()})
    return file.getvalue()
