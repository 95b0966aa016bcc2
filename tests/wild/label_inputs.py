"""Folders whose labels are not in a CSV table, or are numbers, and folders of links, with what is right."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from layout_inputs import Right, film, mask, table

COUNT = 24
CLASSES = ("normal", "tb")


def _films(root: Path, folder: str = "img", name: str = "c{}.png") -> list[str]:
    names = [name.format(n) for n in range(COUNT)]
    for text in names:
        film(root / folder / text)
    return names


def _right(*words: str, **more: Any) -> Right:
    return Right({"normal": 12, "tb": 12}, words=words, **more)


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8-sig")


def names_with_labels(root: Path) -> Right:
    _json(root / "labels.json", {name: CLASSES[n % 2] for n, name in enumerate(_films(root))})
    return _right("labels.json is no CSV table")


def names_with_facts(root: Path) -> Right:
    facts = {
        name[:-4]: {"class": CLASSES[n % 2], "patient": f"p{n // 3}", "spacing": 0.2}
        for n, name in enumerate(_films(root))
    }
    _json(root / "facts.json", facts)
    return _right('"spacing" as spacing', patients=8)


def labels_with_names(root: Path) -> Right:
    names = _films(root)
    _json(root / "classes.json", {label: names[k::2] for k, label in enumerate(CLASSES)})
    return _right()


def records(root: Path) -> Right:
    rows = [
        {"file_name": f"img/{name}", "diagnosis": [CLASSES[n % 2]], "patient_id": f"P{n // 2:02d}"}
        for n, name in enumerate(_films(root))
    ]
    _json(root / "export.json", {"version": "1.2", "films": rows})
    return _right(patients=12)


def records_by_line(root: Path) -> Right:
    rows = [{"image": name, "label": CLASSES[n % 2]} for n, name in enumerate(_films(root))]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return _right()


def findings_as_truths(root: Path) -> Right:
    findings = {name: {"normal": n % 2 == 0, "tb": n % 2 == 1} for n, name in enumerate(_films(root))}
    _json(root / "labels.json", findings)
    return _right("one column per finding")


def yaml_labels(root: Path) -> Right:
    lines = [f"{name}: {CLASSES[n % 2]}\n" for n, name in enumerate(_films(root))]
    (root / "labels.yaml").write_text("".join(lines))
    return _right()


def lines(root: Path) -> Right:
    rows = [f"{name} {CLASSES[n % 2]}\n" for n, name in enumerate(_films(root))]
    (root / "labels.txt").write_text("# reader B\n" + "".join(rows) + "c99.png tb\n")
    return _right("1 row names no image here")


def lines_of_parts(root: Path) -> Right:
    names = _films(root)
    for part, chosen in (("train", names[:14]), ("val", names[14:18]), ("test", names[18:])):
        rows = [f"img/{name} {names.index(name) % 2}\n" for name in chosen]
        (root / f"{part}_list.txt").write_text("".join(rows))
    return Right({"0": 12, "1": 12}, words=("parts: train 14, val 4, test 6",))


def lines_with_spaces(root: Path) -> Right:
    labels = ("no finding", "tb")
    names = _films(root, name="film {}.png")
    rows = [
        f"{labels[1]}  {name}\n" if n % 2 else (f"{name}: {labels[0]}\n", f"{name}\t{labels[0]}\n")[n // 2 % 2]
        for n, name in enumerate(names)
    ]
    (root / "labels.txt").write_text("".join(rows))
    return Right({"no finding": 12, "tb": 12})


def json_of_every_film(root: Path) -> Right:
    for n, name in enumerate(_films(root, "")):
        _json(root / f"{name[:-4]}.json", {"finding": CLASSES[n % 2], "patient": f"P{n // 4}"})
    return _right("*.json is no CSV table", patients=6)


def text_of_every_film(root: Path) -> Right:
    for n, name in enumerate(_films(root, "data")):
        (root / f"data/{name[:-4]}.txt").write_text(f"{CLASSES[n % 2]}\n")
    return _right()


def json_beside_lists_of_parts(root: Path) -> Right:
    names = _films(root)
    _json(root / "labels.json", {name: CLASSES[n % 2] for n, name in enumerate(names)})
    for part, chosen in (("train", names[:16]), ("val", names[16:20]), ("test", names[20:])):
        (root / f"{part}.txt").write_text("\n".join(chosen))
    return _right("parts: train 16, val 4, test 4")


def numbers_without_zeros(root: Path) -> Right:
    rows = [[n, (0, 1, 2, -1)[n % 4]] for n in range(COUNT)]
    for n in range(COUNT):
        film(root / f"f/{n:07d}.png")
    table(root / "t.csv", [["filename", "class"], *rows])
    words = ("lost the zeros", '"-1" in "class" counts as no label (6 rows)')
    return Right({"0": 6, "1": 6, "2": 6}, words=words)


def bars(root: Path) -> Right:
    table(root / "t.csv", [["image", "label"], *([n, CLASSES[k % 2]] for k, n in enumerate(_films(root)))], "|")
    return _right()


def links_to_a_store(root: Path) -> Right:
    for n in range(COUNT):
        film(root / f"store/{n:03d}.png")
        folder = root / "data" / CLASSES[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        os.symlink(f"../../store/{n:03d}.png", folder / f"l{n}.png")
    return _right("24 image files")


def parts_below_classes(root: Path) -> Right:
    _parts(root, "{label}/{part}/{name}.png")
    return _right("parts: train 14, val 4, test 6")


def parts_in_other_words(root: Path) -> Right:
    _parts(root, "{part}/{label}/{name}.png", {"train": "Training", "val": "dev", "test": "hold-out"})
    return _right("parts: train 14, val 4, test 6")


def images_between_part_and_class(root: Path) -> Right:
    _parts(root, "{part}/images/{label}/{name}.png")
    return _right("parts: train 14, val 4, test 6")


def _parts(root: Path, form: str, words: dict[str, str] | None = None) -> None:
    for n in range(COUNT):
        part = "train" if n < 14 else "val" if n < 18 else "test"
        film(root / form.format(part=(words or {}).get(part, part), label=CLASSES[n % 2], name=n))


def patients_in_two_spellings(root: Path) -> Right:
    rows = [[name, CLASSES[n % 2], f"{'Pp'[n % 2]}{n // 4}"] for n, name in enumerate(_films(root))]
    table(root / "t.csv", [["image", "label", "patient"], *rows])
    return _right(patients=6)


def sides_by_letter(root: Path) -> Right:
    for n in range(12):
        film(root / f"x/pat {n}.png")
        mask(root / f"x/pat {n}_mask_L.png", (0, 128))
        mask(root / f"x/pat {n}_mask_R.png", (0, 128))
    return Right(masks=12, organs=("mask L", "mask R"), swap=((0, 1),))


def sides_in_a_label_map(root: Path) -> Right:
    for n in range(12):
        film(root / f"imagesTr/c{n:03}_0000.png")
        mask(root / f"labelsTr/c{n:03}.png", (0, 1, 2))
    _json(
        root / "dataset.json",
        {"labels": {"background": 0, "left lung": 1, "right lung": 2}, "file_ending": ".png"},
    )
    return Right(masks=12, organs=("background", "left lung", "right lung"), swap=((1, 2),))


def masks_of_several_programs(root: Path) -> Right:
    for n in range(12):
        film(root / f"Bilder/ä{n}.png")
        mask(root / f"Masken/ä{n}.png", (0, (1, 128, 255)[n % 3]), scale=2)
    return Right(masks=12)


def labelled_beside_unlabelled(root: Path) -> Right:
    """Folders of labelled and of unlabelled films, and of a test part; none for validation."""
    for n in range(40):
        film(root / f"{'labeled' if n < 28 else 'test'}/{('normal', 'tb')[n % 2]}/{n}.png")
    for n in range(8):
        film(root / f"unlabeled/u{n}.png")
    words = ("parts: train 24, val 4, test 12", "8 films in unlabeled: unlabelled")
    return Right({"normal": 20, "tb": 20}, films=40, words=words)


def numbers_of_rows_beside_those_of_films(root: Path) -> Right:
    """A column that numbers the rows, and one that numbers the films; a code of ICD-10 for no finding."""
    rows = [["idx", "file_id", "icd10"]]
    for n in range(24):
        number = n * 7 % 24
        film(root / f"x/{number:04}.png")
        rows.append([str(n), str(number), ("Z03.8", "J18.9")[number % 2]])
    table(root / "codes.csv", rows)
    return Right({"Z03.8": 12, "J18.9": 12}, films=24, first="Z03.8", words=('"file_id" as image',))


LABELS: tuple[Callable[[Path], Right], ...] = (
    names_with_labels,
    names_with_facts,
    labels_with_names,
    records,
    records_by_line,
    findings_as_truths,
    yaml_labels,
    lines,
    lines_of_parts,
    lines_with_spaces,
    json_of_every_film,
    text_of_every_film,
    json_beside_lists_of_parts,
    numbers_without_zeros,
    bars,
    links_to_a_store,
    parts_below_classes,
    parts_in_other_words,
    images_between_part_and_class,
    patients_in_two_spellings,
    sides_by_letter,
    sides_in_a_label_map,
    masks_of_several_programs,
    labelled_beside_unlabelled,
    numbers_of_rows_beside_those_of_films,
)
