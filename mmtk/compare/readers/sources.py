"""Sources by kind: which reader takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmtk.compare import json_tables
from mmtk.compare.columns import Sheet, read_sheet
from mmtk.compare.layout import split_system
from mmtk.compare.mask_files import SEED, distinct_stems, is_mask_file, seed_of
from mmtk.compare.readers.table import table_records
from mmtk.compare.records import Records, joined
from mmtk.compare.request import Request
from mmtk.compare.score_names import is_score_name
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.images.files import find_images
from mmtk.io.files import read_json, sha256
from mmtk.io.outputs import holds_run, results_among
from mmtk.io.packed import inner_suffix
from mmtk.io.spelling import visible
from mmtk.registry import catalog

OF_RUNS = ("recipe.toml", "study.json")  # what makes a folder a run or a study of mmtk
PATTERNS = {"nnunet": "summary.json", "monai": "*_raw.csv"}  # of files that only one program writes
LOGS = {"trainer_state"}  # of trainings, beside the results of Hugging Face
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
Reading = tuple[Records, list[str], dict[str, str]]
Reader = Callable[[Request], tuple[Records, list[str]]]


def read_sources(request: Request) -> Reading:
    """Records of all sources, their mapping in words, and what a report says of them."""
    if not request.sources:
        raise MmtkError("no source is given.", hint="Such as: mmtk compare results.csv --out report")
    kind = request.kind or guess_kind(request)
    if kind not in READERS:
        raise MmtkError(f"kind: no reader '{kind}'.", hint=f"Readers: {listing(READERS)}.")
    records, lines = READERS[kind](request)
    names = [_name(source) for source in request.sources]
    return records, lines, _origin(names, lines)


def read_frame(frame: Any, request: Request) -> Reading:
    """Records of a data frame, their mapping in words, and what a report says of them."""
    sheet = Sheet(_with_index(frame), "the data frame")
    records, lines = table_records(sheet, request, "system")
    return records, lines, _origin(["a data frame"], lines)


def _with_index(frame: Any) -> Any:
    """A data frame of pandas or polars whose named levels of the index are columns, as those of a pivot table."""
    frame = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    if frame.columns.nlevels > 1:
        cure = "Make the upper levels of names columns: frame.stack(…, future_stack=True).reset_index()."
        raise MmtkError("the names of its columns have several levels.", "the data frame", cure)
    named_levels = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(named_levels).reset_index(drop=True)


def guess_kind(request: Request) -> str:
    """The reader that takes the sources."""
    if any(source.startswith("mlflow:") for source in request.sources):
        return "mlflow"
    paths = [Path(source) for source in request.sources]
    missing = [path for path in paths if not path.exists()]
    if missing:
        cure = "Name tables, folders of masks, runs or studies, or mlflow:EXPERIMENT."
        raise MmtkError("no such file or folder.", visible(missing[0]), cure)
    if request.reference:
        return "masks"
    runs = [path for path in paths if any((path / name).is_file() for name in OF_RUNS)]
    if len(runs) == len(paths):
        return "runs"
    if runs:
        other = next(path for path in paths if path not in runs)
        cure = "Name runs and studies alone, or other sources alone."
        raise MmtkError(f"is no run or study of mmtk, as {visible(runs[0])} is.", visible(other), cure)
    for kind, pattern in PATTERNS.items():
        if all(path.is_dir() and any(map(_is_summary, path.rglob(pattern))) for path in paths):
            return kind
    return "table"


def _is_summary(file: Path) -> bool:
    """Whether a file is that of a program, by its keys where its name is a common one."""
    if file.name != PATTERNS["nnunet"]:
        return True
    content = read_json(file)
    return isinstance(content, dict) and ("metric_per_case" in content or "results" in content)


def _tables(request: Request) -> tuple[Records, list[str]]:
    """Records of table files; of a folder all tables in it."""
    paths = [Path(source) for source in request.sources]
    notes: list[str] = []
    files = [file for path in paths for file in (_files_in(path, notes) if path.is_dir() else [path])]
    sheets = _with_scores({path: read_sheet(path) for path in dict.fromkeys(files)})
    names = distinct_stems(sheets)
    runs = runs_of_files(list(names.values()))
    parts, lines = [], []
    for path, sheet in sheets.items():
        part, of_file = table_records(sheet, request, *runs[names[path]], alone=len(sheets) == 1)
        if inner_suffix(path) in json_tables.SUFFIXES and len(sheets) == 1 and of_file[0] == "case = name":
            some = listing(dict.fromkeys(sheet.texts("name")), 3)
            part.notes.append(
                f"names such as {some} are taken as cases: --column system=name says that they are systems"
            )
        parts.append(part)
        lines += [line for line in of_file if line not in lines]
    if not any(line.startswith("system = ") for line in lines) and len(names) > 1:
        seeds = " and seed" if any(seed for _, seed in runs.values()) else ""
        lines.insert(0, f"system{seeds} = the name of the file")
    elif any(seed for _, seed in runs.values()) and not any(line.startswith("seed = ") for line in lines):
        lines.insert(1, "seed = the name of the file")
    records = joined(parts)
    records.notes += notes
    return records, lines


def _files_in(folder: Path, notes: list[str]) -> list[Path]:
    """Tables in a folder: JSON files and texts, which may be settings and notes, where there is nothing else.

    folder: of a source
    notes: to which a sentence on files that are not read is added
    """
    inside = find_images(folder, lambda one: inner_suffix(one) in (*TABLES, *json_tables.SUFFIXES))
    texts = [file for file in inside if inner_suffix(file) == ".txt"]
    objects = [file for file in inside if inner_suffix(file) in json_tables.SUFFIXES]
    tables = [file for file in inside if file not in objects]
    files = tables if tables != texts or not objects else objects
    if not files:
        raise _no_table(folder)
    if others := [file.name for file in inside if file not in files]:
        notes.append(
            f"{counted(len(others), 'file')} beside the tables not read: {listing(dict.fromkeys(others), 8)}"
        )
    reports = results_among(files, "report")  # a report that lies among its tables
    return [file for file in files if file not in reports] or files


def _with_scores(sheets: dict[Path, Sheet]) -> dict[Path, Sheet]:
    """The tables without JSON files that hold no known score, and logs, where others do; a note says which."""
    plain = {
        path
        for path, sheet in sheets.items()
        if inner_suffix(path) in json_tables.SUFFIXES
        and (path.stem in LOGS or not any(map(is_score_name, sheet.columns)))
    }
    rest = {path: sheet for path, sheet in sheets.items() if path not in plain}
    if not plain or not rest:
        return sheets
    number = counted(len(plain), "JSON file holds", "JSON files hold")
    next(iter(rest.values())).notes.append(f"{number} no score, left out: {listing({p.name for p in plain}, 8)}")
    return rest


def _no_table(folder: Path) -> MmtkError:
    """Error for a folder without a table; masks need those that they are compared with."""
    if masks := len(find_images(folder, is_mask_file)):
        message = f"holds {counted(masks, 'mask or image', 'masks or images')}, and no table."
        cure = "Predicted masks need the folder of their references: --reference DIR."
        return MmtkError(message, str(folder), cure)
    if runs := [path for path in sorted(folder.iterdir()) if path.is_dir() and holds_run(path)]:
        cure = f"Name them: mmtk compare {visible(folder)}/*"
        raise MmtkError(f"holds {counted(len(runs), 'run')} of mmtk, and no table.", visible(folder), cure)
    ends = listing([*TABLES, *json_tables.SUFFIXES])
    return MmtkError("holds no table.", str(folder), f"Tables end with {ends}.")


def runs_of_files(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """System and seed by the name of a file, for tables that do not name them; "" without a seed.

    ``unet/seed_0/metrics`` and ``unet_seed0`` are seeds of one system where others differ in the number alone, and
    ``fold_0`` where all are called so.
    """
    parts = [name.split("/") for name in names]
    while len(parts) > 1 and all(len(one) > 1 for one in parts) and len({one[-1] for one in parts}) == 1:
        parts = [one[:-1] for one in parts]  # metrics.csv in every folder
    short = _without_shared_ends(["/".join(one) for one in parts])
    if len(short) > 1 and all(SEED.fullmatch(name) and not name.isdigit() for name in short):
        return {name: ("system", seed_of(text)) for name, text in zip(names, short, strict=True)}
    split = split_system(short)
    if len({*split.values()}) == len({system for system, _ in split.values()}):
        return {name: (name, "") for name in names}
    return {name: split[text] for name, text in zip(names, short, strict=True)}


def _without_shared_ends(names: list[str]) -> list[str]:
    """Names without the words behind a number that all of them have: ``unet_fold0`` of ``unet_fold0_metrics``."""
    ends = {re.sub(r".*\d", "", name) for name in names}
    end = ends.pop() if len(ends) == 1 and len(names) > 1 else ""
    return [name.removesuffix(end) for name in names] if re.match(r"[\s_\-.]", end) else names


def _name(source: str) -> str:
    """A source with the start of its hash, where it is a file."""
    path = Path(source)
    digest = sha256(path) if path.is_file() else None
    return f"{path.name} (SHA-256 {digest[:12]})" if digest else source


def _origin(names: Sequence[str], lines: Sequence[str]) -> dict[str, str]:
    """Origin of the numbers, as a report says it."""
    return {"Sources": ", ".join(names), "Mapping": "; ".join(lines), "Versions": f"mmtk {catalog.version()}"}


def _masks(request: Request) -> tuple[Records, list[str]]:
    from mmtk.compare.readers.masks import read_masks

    return read_masks(request)


def _runs(request: Request) -> tuple[Records, list[str]]:
    from mmtk.compare.readers.runs import read_runs

    return read_runs(request)


def _nnunet(request: Request) -> tuple[Records, list[str]]:
    from mmtk.compare.readers.nnunet import read_nnunet

    return read_nnunet(request)


def _monai(request: Request) -> tuple[Records, list[str]]:
    from mmtk.compare.readers.monai import read_monai

    return read_monai(request)


def _mlflow(request: Request) -> tuple[Records, list[str]]:
    from mmtk.compare.readers.mlflow import read_mlflow

    return read_mlflow(request)


READERS: dict[str, Reader] = {
    "table": _tables,
    "masks": _masks,
    "runs": _runs,
    "nnunet": _nnunet,
    "monai": _monai,
    "mlflow": _mlflow,
}
