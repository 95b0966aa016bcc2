"""Folders as wards keep them by hand, with what is right to read from each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from layout_inputs import Right, film, mask, table

NORMAL, ILL = "unauffällig", "Pneumonie"


def finding_behind_the_patient(root: Path) -> Right:
    """A folder for each patient, with the finding in brackets; a patient comes again with another one."""
    for n in range(24):
        film(root / f"Pat {n // 3 + 1} ({(NORMAL, ILL)[n % 2]})/Bild{n}.jpg")
    words = ("the patient and the finding are a folder of the path",)
    return Right({NORMAL: 12, ILL: 12}, films=24, patients=8, words=words)


def finding_behind_a_dash(root: Path) -> Right:
    """Films of two years, below them a folder for each patient, with the finding behind an underscore."""
    for n in range(24):
        film(root / f"{2020 + n // 12}/P{n // 2:03}_{('no_finding', 'lung_opacity')[n // 2 % 2]}/{n % 2}.png")
    return Right({"no_finding": 12, "lung_opacity": 12}, films=24, patients=12)


def codes_with_a_table(root: Path) -> Right:
    """Codes of a finding, a legend of several columns, and a code for what nobody could read."""
    rows: list[list[object]] = [["Bild", "Befund"]]
    for n in range(26):
        film(root / f"img/L{n:02}.png")
        rows.append([f"L{n:02}.png", 9 if n > 23 else 1 + n % 2])
    table(root / "daten.csv", rows, ";")
    codes = [["Variable", "Code", "Bedeutung"], ["Geschlecht", 1, "weiblich"], ["Geschlecht", 2, "männlich"]]
    codes += [["Befund", 1, NORMAL], ["Befund", 2, ILL], ["Befund", 9, "nicht beurteilbar"]]
    table(root / "Legende.csv", codes, ";")
    words = ("the codes are replaced by what Legende.csv says of them: 1 unauffällig, 2 Pneumonie",)
    return Right({NORMAL: 12, ILL: 12}, films=26, words=words)


def codes_in_the_name_of_a_column(root: Path) -> Right:
    """Meanings of codes in the name of their column."""
    rows: list[list[object]] = [["Datei", "Befund (0 = o.B., 1 = Infiltrat)"]]
    for n in range(24):
        film(root / f"f{n:02}.png")
        rows.append([f"f{n:02}.png", n % 2])
    table(root / "liste.csv", rows, ";")
    return Right({"o.B.": 12, "Infiltrat": 12}, films=24, first="o.B.")


def codes_with_a_text(root: Path) -> Right:
    """Meanings of codes in a text beside the table."""
    rows: list[list[object]] = [["image", "label"]]
    for n in range(24):
        film(root / f"f{n:02}.png")
        rows.append([f"f{n:02}.png", n % 2])
    table(root / "labels.csv", rows)
    (root / "README.txt").write_text("Films of 2020.\n0 = normal\n1 = pneumonia\n")
    return Right({"normal": 12, "pneumonia": 12}, films=24, words=("what README.txt says",))


def films_and_sides_of_other_endings(root: Path) -> Right:
    """An ending for films, and for masks of the left and of the right, in a folder each."""
    for n in range(8):
        film(root / f"Bilder/{n:02}_film.tif")
        mask(root / f"Maske links/{n:02}_links.gif")
        mask(root / f"Maske rechts/{n:02}_rechts.gif")
    return Right(masks=8, films=8, organs=("Maske links", "Maske rechts"), swap=((0, 1),))


def subjects_of_sites(root: Path) -> Right:
    """Hospitals in one table, each of which numbers its patients from 1 on."""
    rows: list[list[object]] = [["StudyNo", "Site", "SiteSubject", "Diagnosis"]]
    for n in range(24):
        film(root / f"films/MC-{n:04}.png")
        rows.append([f"MC-{n:04}", "ABC"[n % 3], n // 6 + 1, ("Normal", "Pneumonia")[n // 3 % 2]])
    table(root / "multicentre.csv", rows)
    words = ("patients: 12 of 24 films", 'a patient is "Site" and "SiteSubject" together')
    return Right({"Normal": 12, "Pneumonia": 12}, films=24, patients=12, words=words)


def masks_called_as_the_films_beside_them(root: Path) -> Right:
    """Films and masks of one name in one folder, as JPEG and PNG."""
    for n in range(8):
        film(root / f"c{n:02}.jpg")
        mask(root / f"c{n:02}.png")
    return Right(masks=8, films=8, words=("8 films lie here as .jpg, their masks as .png",))


def a_column_for_each_visit(root: Path) -> Right:
    """A row for each patient with the findings before and after, whose films lie in a folder each."""
    rows: list[list[object]] = [["Pat", "Alter", "Befund_prae", "Befund_post"]]
    for n in range(12):
        for visit in ("prae", "post"):
            film(root / f"{visit}/P{n:02}.png")
        rows.append([f"P{n:02}", 50 + n, "Pneumonie", ("Pneumonie", "normal")[n % 2]])
    table(root / "befunde.csv", rows)
    words = ("befunde.csv has columns for post, prae: a row for each",)
    return Right({"Pneumonie": 18, "normal": 6}, films=24, patients=12, first="normal", words=words)


def halves_of_films(root: Path) -> Right:
    """A film for each side, by its letter in the name and its word in the table."""
    rows: list[list[object]] = [["id", "side", "label"]]
    for n in range(24):
        film(root / f"halves/{n // 2:03}_{'LR'[n % 2]}.png")
        rows.append([f"{n // 2:03}", ("left", "right")[n % 2], "normal" if n % 3 else "pneumonia"])
    table(root / "labels.csv", rows)
    words = ('"id" and "side" are in their names or headers',)
    return Right({"normal": 16, "pneumonia": 8}, films=24, patients=12, words=words)


def organs_in_the_folders_of_cases(root: Path) -> Right:
    """Masks called after their organ beside the film of each case."""
    for n in range(8):
        film(root / f"cases/{n + 100}/frontal.png")
        mask(root / f"cases/{n + 100}/lungs.png")
    return Right(masks=8, films=8, organs=("lung",))


def sides_in_the_folders_of_cases(root: Path) -> Right:
    """A mask for each lung beside the film of each case, but one."""
    for n in range(8):
        film(root / f"{n + 100}/image.png")
        for side in ("left_lung", "right_lung")[: 1 + (n != 5)]:
            mask(root / f"{n + 100}/{side}.png")
    return Right(
        masks=7, films=8, organs=("left lung", "right lung"), words=("no mask of right_lung for 105/image.png",)
    )


def cohorts_of_a_prediction_model(root: Path) -> Right:
    """Parts as reports of prediction models call them, in a column cohort; films that are not to be used."""
    rows: list[list[object]] = [["file", "dx", "cohort", "quality", "consent", "Included"]]
    cohorts = ("derivation cohort", "derivation cohort", "internal validation", "External validation")
    for n in range(24):
        film(root / f"cxr/{n:03}.png")
        quality, consent = "unusable" if n == 5 else "good", "withdrawn" if n in (7, 9) else "yes"
        rows.append(
            [f"{n:03}.png", ("normal", "pneumonia")[n % 2], cohorts[n // 2 % 4], quality, consent, int(n != 6)]
        )
    table(root / "cohort.csv", rows)
    marks = (
        '"quality" marks 1 row (unusable)',
        '"consent" marks 2 rows (withdrawn)',
        '"Included" marks 1 row (0)',
    )
    words = ("parts: train 12, val 6, test 6", *marks)
    return Right({"normal": 12, "pneumonia": 12}, films=24, words=words)


def facts_of_patients_in_codes(root: Path) -> Right:
    """Sex, outcomes and other examinations as numbers beside the finding, whose 9 means that it is missing."""
    rows: list[list[object]] = [["id", "Geschlecht", "ECG", "death", "diabetes", "pneu"]]
    for n in range(24):
        film(root / f"films/{n:03}.png")
        rows.append([f"{n:03}", 1 + n % 2, n // 3 % 2, int(n % 10 == 0), n // 5 % 2, 9 if n < 4 else n // 2 % 2])
    table(root / "Daten.csv", rows, ";")
    words = ('"pneu" as label', '"pneu" is 9 in 4 rows, beside 0, 1: if that means missing')
    return Right({"0": 10, "1": 10, "9": 4}, films=24, words=words)


def copies_with_another_contrast(root: Path) -> Right:
    """Folders side by side with the same films as they were and processed."""
    for n in range(24):
        film(root / f"{('normal', 'sick')[n // 12]}/{('orig', 'clahe')[n % 2]}/{n // 2:03}.png")
    words = ("normal/clahe, normal/orig have films of the same names: if they are copies",)
    return Right({"normal": 12, "sick": 12}, films=24, words=words)


WARDS: tuple[Callable[[Path], Right], ...] = (
    finding_behind_the_patient,
    finding_behind_a_dash,
    codes_with_a_table,
    codes_in_the_name_of_a_column,
    codes_with_a_text,
    films_and_sides_of_other_endings,
    subjects_of_sites,
    masks_called_as_the_films_beside_them,
    a_column_for_each_visit,
    halves_of_films,
    organs_in_the_folders_of_cases,
    sides_in_the_folders_of_cases,
    cohorts_of_a_prediction_model,
    facts_of_patients_in_codes,
    copies_with_another_contrast,
)
