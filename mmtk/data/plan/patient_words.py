"""Columns and folders that say whose a film is, by their names in many languages and by their cells."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from statistics import mean, median

from mmtk.components.source._splitting import are_numbered
from mmtk.data.plan.other_columns import OTHER_COLUMNS
from mmtk.data.plan.words import CLASSES, LABEL_COLUMNS, PARTS, plain
from mmtk.io.dates import is_date

# Stems: with an ending, or with a word for a number before or behind it, "patient".
PATIENTS = (
    *("patient", "patiënt", "pasient", "potila", "pacient", "pazient", "pacjent", "betegaz", "пациент", "пацієнт"),
    *("ασθεν", "مريض", "患者", "病人", "病患", "환자", "proband", "versichert", "participant", "teilnehmer"),
)
# Whole words: short names of a patient, and of the record that a hospital keeps of one.
RECORDS = {
    *("pat", "pt", "subject", "subj", "person", "mrn", "pid", "hasta", "beteg", "empi", "uhid", "ipp", "nip"),
    *("nhc", "cpr", "kis", "pseudonym", "pseudonyme", "prontuário", "prontuario", "bệnh nhân", "rodné", "등록"),
    *("病历", "病歷", "病案", "住院", "门诊", "カルテ", "medical record", "cartella clinica", "historia clínica"),
    *("historia clinica", "истории болезни", "история болезни", "hospital no", "hospital number", "hospital id"),
    *("hospitalno", "hospitalnumber", "hospitalid"),
}
# A stay, or the name of somebody: it says whose a film is where nothing better does.
WEAK = {
    *("name", "surname", "nachname", "nom", "nombre", "apellidos", "cognome", "nome", "姓名", "氏名", "이름"),
    *("vorname", "firstname", "forename", "prénom", "prenom", "voornaam"),
    *("фио", "case", "fall", "cas", "caso", "dossier", "historia"),
}
NUMBERS = {
    *("id", "ids", "n", "no", "nr", "num", "number", "nummer", "numero", "número", "numéro", "code", "key", "uid"),
    *("identifier", "kennung", "kennnummer", "kennziffer", "schlüssel", "identifikation", "identificador", "nº"),
    *("du", "de", "del", "номер", "код", "č", "číslo", "numer", "codice", "código", "编号", "編號", "番号", "号"),
    *("ال", "رقم", "معرف"),
    *("號", "号码", "번호", "name", "anon", "anonymized", "anonymised", "pseudonymized", "deidentified", "hash"),
    *("hashed", "encrypted"),
}
ENDINGS = {"", "s", "n", "en", "in", "innen", "e", "i", "a", "o", "es", "en s", "а", "ів", "ов", "ης"}
# What a column says of a patient or a study, and not who he is.
STUDIES = {
    *("accession", "anforderung", "auftrag", "study", "studie", "studien", "series", "serie", "exam", "examen"),
    *("untersuchung", "untersuchungs", "request", "order", "visit", "besuch", "visite", "visita", "encounter"),
    *("session", "sop", "instance", "检查", "檢查", "検査"),
}
FOLDERS = (
    *("patient", "patients", "patientin", "patienten", "subject", "paciente", "paziente", "pacjent", "potilas"),
    *(
        "patiënt",
        "pasient",
        "pacient",
        "hasta",
        "beteg",
        "пациент",
        "пацієнт",
        "患者",
        "病人",
        "환자",
        "مريض",
        "ασθενής",
    ),
    *("pat", "p", "pt", "sub", "subj", "case", "fall", "proband", "visit", "study", "ses"),
)
SITES = {
    *("site", "sites", "center", "centre", "hospital", "clinic", "institution", "institute", "campus", "zentrum"),
    *("klinik", "klinikum", "krankenhaus", "standort", "haus", "hôpital", "hopital", "établissement", "centro"),
    *("ospedale", "clínica", "sede", "ziekenhuis", "szpital", "sykehus", "sjukhus", "больница", "центр", "医院"),
    *("中心", "施設", "병원", "مستشفى", "hastane"),
}
MANY, FEW = 8, 12  # so many groups, with fewer images each, are persons


def patient_rank(name: str) -> int:
    """Rank how surely the name of a column says whose a film is.

    Return 2 for a patient ("Patient ID", "PatNr", "患者编号"), 1 for a stay or the name of somebody, 0 for all
    else ("patient age").
    """
    words = plain(name).split()
    rest = " ".join(word for word in words if not _is_number(word))
    if {rest, plain(name)} & RECORDS:
        return 2
    if {rest, plain(name)} & WEAK:
        return 1
    ranks = [_rank_of_word(word) for word in words if not _is_number(word) and word not in SITES]  # SiteSubject
    return max(ranks) if ranks and all(ranks) else 0


def site_column(patients: Sequence[str], cells: Sequence[tuple[str, list[str]]]) -> str:
    """The column of hospitals that each number their patients from 1 on; "" where none does.

    patients: of the rows
    cells: pairs of a column's name and its cells
    """
    for name, sites in cells:
        words = {word for word in plain(name).split() if not _is_number(word)}
        if not words or words - SITES:
            continue
        by_site: dict[str, set[str]] = defaultdict(set)
        for site, patient in zip(sites, patients, strict=True):
            if site and patient:
                by_site[site].add(patient)
        shared = len({*chain(*by_site.values())}) < sum(map(len, by_site.values()))
        if shared and all(map(are_numbered, by_site.values())):
            return name
    return ""


def _rank_of_word(word: str) -> int:
    """Rank of one word, which may be joined of a person and a number: ``patientennr``, ``idpaciente``."""
    if word in RECORDS or any(stem in word and _is_filler(word.replace(stem, " ", 1)) for stem in PATIENTS):
        return 2
    if any(_is_joined(word, record) for record in RECORDS):
        return 2
    return 1 if word in WEAK or any(_is_joined(word, weak) for weak in WEAK) else 0


def _is_joined(word: str, person: str) -> bool:
    rest = word.removeprefix(person) if word.startswith(person) else word
    return rest != word and _is_number(rest)


def _is_filler(rest: str) -> bool:
    """Whether what surrounds a stem is an ending, a word for a number, or both: ``en nr``."""
    before, _, behind = rest.partition(" ")
    behinds = {behind.removeprefix(ending) for ending in ENDINGS if behind.startswith(ending)}
    return (not before or _is_number(before)) and any(not end or _is_number(end) for end in behinds)


def _is_number(word: str) -> bool:
    return word in NUMBERS or word.isdecimal()


def is_study_column(name: str) -> bool:
    """Whether a column numbers studies, of which a patient may have several: "Accession Number"."""
    return any(
        word in STUDIES or any(_is_joined(word, study) or _is_joined(word, f"{study}s") for study in STUDIES)
        for word in plain(name).split()
    )


def is_study_number(name: str) -> bool:
    """Whether a column is called after nothing but the number of a study: "exam_id", not "exam result"."""
    words = [word for word in plain(name).split() if not _is_number(word)]
    numbered = len(words) < len(plain(name).split())
    return numbered and bool(words) and all(is_study_column(word) for word in words)


def patient_column(cells: Sequence[tuple[str, list[str]]]) -> str:
    """The column that says whose a film is, of pairs of a name and its cells; "" where none does."""
    ranked = [
        (patient_rank(name), name) for name, column in cells if patient_rank(name) != 1 or are_groups(column)
    ]
    best = max((rank for rank, _ in ranked), default=0)
    return next(name for rank, name in ranked if rank == best) if best else ""


def possible_patients(cells: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Columns whose cells repeat on a few films each, as numbers of patients do, whatever their name."""
    return [
        name
        for name, column in cells
        if not is_study_column(name)
        and not {*plain(name).split()} & (OTHER_COLUMNS | {*LABEL_COLUMNS})
        and all(column)
        and are_persons(column)
        and mean(Counter(filter(None, column)).values()) >= 1.3
        and not all(is_date(cell) or re.fullmatch(r"-?\d*[.,]\d+", cell) for cell in column if cell)
    ]


def are_groups(values: Iterable[str]) -> bool:
    """Whether values are on a few films each, and none is a class."""
    counts = Counter(filter(None, values))
    return len(counts) > 2 and median(counts.values()) < FEW and not {*map(plain, counts)} & CLASSES


def are_persons(values: Iterable[str]) -> bool:
    """Whether values are many, on a few films each, and none is a class or a part."""
    names = [value for value in values if value]
    others = {plain(name).replace(" ", "") for name in names} & {*PARTS}
    return are_groups(names) and len({*names}) >= MANY and not others


def is_patient_folder(name: str) -> bool:
    """Whether a folder is named as a patient or a visit, with a number or alone: "Patient 07", "sub-01"."""
    return bool(re.fullmatch(rf"(?:{'|'.join(FOLDERS)})\s*\d*", plain(name)))
