"""Words in the names of folders, files and columns, in the spelling of ``plain``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from mmtk.components.source._organ_words import ORGANS as ORGANS
from mmtk.components.source._organ_words import organ as organ
from mmtk.components.source._part_words import PARTS as PARTS
from mmtk.components.source._part_words import part_of
from mmtk.data.plan.normal_words import IN_QUESTION, WORDS

FOREIGN_MASKS = {
    *("maske", "masken", "lungenmaske", "segmentierung", "segmentierungen", "masque", "masques", "máscara"),
    "mascara",
    *("máscaras", "mascaras", "maschera", "maschere", "segmentación", "segmentazione", "segmentação", "masker"),
    *("maska", "maski", "маска", "маски", "сегментация", "掩膜", "掩码", "蒙版", "遮罩", "マスク", "마스크"),
}
MASKS = FOREIGN_MASKS | {
    "mask",
    "masks",
    "seg",
    "segs",
    "segmentation",
    "segmentations",
    "gt",
    *("groundtruth", "groundtruths"),
    "labelstr",
    "labelsts",
    "labelsva",
    "annotation",
    "annotations",
    "contour",
    "contours",
    *("manual", "manualmask"),
    "leftmask",
    "rightmask",
    "roi",
    "label",
    "labels",
    "lungmask",
    "lungmasks",
    "segmentationmasks",
}
IMAGES = {
    "image",
    "images",
    "img",
    "imgs",
    "film",
    "films",
    "cxr",
    "cxrs",
    "xray",
    "xrays",
    "png",
    "jpg",
    "jpeg",
    "dicom",
    "dcm",
    "imagestr",
    "imagests",
    "scan",
    "scans",
    "radiograph",
    "radiographs",
    "picture",
    "pictures",
    "frontal",
    "original",
    "originals",
    "raw",
    "input",
    "inputs",
    "data",
    "bilder",
}
UNLABELLED = {
    *("unlabelled", "unlabeled", "unannotated", "nolabel", "nolabels", "withoutlabel", "unsorted", "unread"),
    *("notread", "notreadyet", "notreported", "unreported", "unbefundet", "nichtbefundet", "nonlu", "nonétiqueté"),
}
LABELLED = {"labeled", "labelled", "supervised", "gelabelt", "befundet"}  # films that have a class
CLASSES = {
    "normal",
    "abnormal",
    "pneumonia",
    "covid",
    "covid19",
    "tb",
    "tuberculosis",
    "healthy",
    "sick",
    "ill",
    "well",
    "positive",
    "negative",
    "pos",
    "neg",
    "viral",
    "bacterial",
    "virus",
    "bacteria",
    "effusion",
    "opacity",
    "lung opacity",
    "viral pneumonia",
    "bacterial pneumonia",
    "no finding",
    "finding",
    "disease",
    "cancer",
    "benign",
    "malignant",
    "cardiomegaly",
    "nodule",
    "no tb",
    "non covid",
    "control",
    "case",
    "controls",
    "cases",
}
LABEL_COLUMNS = {
    "label": 5,
    "labels": 5,
    "class": 5,
    "classes": 5,
    "finding": 4,
    "findings": 4,
    "finding labels": 5,
    "finding label": 5,
    "diagnosis": 5,
    "diagnose": 4,
    "target": 4,
    "category": 4,
    "disease": 4,
    "pathology": 4,
    "dx": 4,
    "outcome": 3,
    "result": 3,
    "status": 3,
    "ground truth": 4,
    "condition": 3,
    "type": 2,
    "state": 1,
    "befund": 4,
    "y": 3,
    "impression": 2,
    "class name": 5,
    "annotation": 2,
    "reading": 2,
    **dict.fromkeys(("cxr", "xray", "radiograph"), 3),
    **dict.fromkeys(("chest xray", "röntgenbefund"), 4),
}
VIEW_COLUMNS = {"view", "views", "projection", "lateral", "position"}
SPACING_COLUMNS = {
    "pixel size",
    "pixelsize",
    "mm per pixel",
    "pixel mm",
    "resolution mm",
    "pixelabstand",
    "pixelgrösse",
    "pixelgröße",
    "taille pixel",
    "taille du pixel",
    "tamaño de píxel",
    "dimensione pixel",
}


def plain(name: str) -> str:
    """Lower the case and put single spaces between words: ``FindingLabels_2`` → ``finding labels 2``."""
    spaced = re.sub(r"(?<=[a-zäöü])(?=[A-Z])", " ", unicodedata.normalize("NFC", name))
    return re.sub(r"[\W_]+", " ", spaced).casefold().strip()


NEGATIONS = {
    *(
        "no",
        "non",
        "not",
        "without",
        "kein",
        "keine",
        "keiner",
        "keinen",
        "ohne",
        "sans",
        "aucun",
        "aucune",
        "sin",
    ),
    *("senza", "nessun", "nessuna", "sem", "geen", "zonder", "без", "нет", "bez", "brak", "ingen", "uden", "utan"),
}
# A label that says that nobody knows it.
UNKNOWN = {
    *(
        "unknown",
        "unclear",
        "uncertain",
        "indeterminate",
        "undetermined",
        "unsure",
        "pending",
        "tbd",
        "not read",
        "not reported",
    ),
    *(
        "not assessable",
        "unbekannt",
        "unklar",
        "k a",
        "keine angabe",
        "nicht beurteilbar",
        "ausstehend",
        "inconnu",
    ),
    *("inconnue", "indéterminé", "non interprétable", "desconocido", "desconocida", "sconosciuto", "onbekend"),
    *(
        "desconhecido",
        "неизвестно",
        "nieznany",
        "ukendt",
        "okänd",
        "不明",
        "未知",
        "不詳",
        "미상",
        *("not available", "exclude", "excluded", "not mentioned", "not stated", "nicht erwähnt"),
    ),
}
# Answers to the name of a column, which tell nothing as the name of a folder.
ANSWERS = {"false", "no", "none", "nein", "non", "não", "nee", "nej", "nei", "nie", "нет", "否", "ne", "hayır"}
NORMAL = {plain(word) for words in WORDS.values() for word in words}
CLASSES |= {word for word in NORMAL if len(word) > 1 and word not in PARTS} - ANSWERS


def same_class(name: str) -> str:
    """Spelling that classes of one meaning share: all words for a film without a finding are ``normal``.

    They may stand in brackets: ``Group B (controls)``. So are ICD-10's codes of examinations without a finding.
    """
    if re.fullmatch(r"z0[0-4]( \d+)?", plain(name)):
        return "normal"
    if all(
        word in NORMAL for word in re.split(r"\s*(?:&|/|\+|,|\band\b|\bund\b|\bet\b|\by\b)\s*", name.casefold())
    ):
        return "normal"  # "Normal & healthy"
    bracketed = {plain(text) for text in re.findall(r"\(([^()]*[^\W\d_][^()]*)\)", name)}
    return "normal" if {plain(name), without_number(name), *bracketed} & NORMAL else plain(name)


def without_number(name: str) -> str:
    """Plain words without a number that sorts or counts them: ``01_normal``, ``Normal (1341)`` → ``normal``."""
    return re.sub(r"^\d+ (?=[^\W\d])", "", plain(re.sub(r"(?<=\w)\s*[(\[]\d+[)\]]$", "", name)))


def says_normal(name: str) -> bool:
    """Whether a class is that of films without any finding, not of those without one in question."""
    return plain(name) in NORMAL - IN_QUESTION


def part(cell: str) -> str:
    """Part that a word names: train, val or test; "" for another word."""
    return part_of(cell) or ""


def class_order(names: Iterable[str]) -> list[str]:
    """Sort classes as mmtk numbers them: films without a finding, then those without one finding, then by name."""
    return sorted(
        names, key=lambda name: (1 if is_negated(name) else 0 if same_class(name) == "normal" else 2, name)
    )


def is_healthy(name: str) -> bool:
    """Whether a class is known as that of films without a finding, or without one of them."""
    return is_negated(name) or same_class(name) == "normal"


def is_negated(name: str) -> bool:
    """Whether a class is that of films without something: "keine Pneumonie", "non-TB", "无结核"."""
    text = plain(name)
    return text.split()[:1] in [[word] for word in NEGATIONS] or text.startswith(
        ("无", "無", "非", "没有", "未见")
    )


def class_among(name: str, names: Iterable[str]) -> str:
    """Find the class in ``names``: by spelling, or else by meaning; "" where none matches."""
    names = list(names)
    spelled = [item for item in names if item == name] or [item for item in names if plain(item) == plain(name)]
    return next(iter(spelled or [item for item in class_order(names) if same_class(item) == same_class(name)]), "")


def role(folder: str) -> str:
    """Role of a folder by its name: ``masks``, ``images``, ``unlabelled``, a part or ""."""
    words = plain(folder).split()
    joined = "".join(words)
    if joined in UNLABELLED:
        return "unlabelled"
    if len(joined) > 2 and part(joined):
        return part(joined)
    if words[-1:] in (["data"], ["dataset"], ["set"]) and len(words) > 1:
        return ""  # a whole collection, as "Lung Segmentation Data"
    if joined in MASKS or {*words} & (MASKS - {"label", "labels", "gt"}) or joined.endswith(("mask", "masks")):
        return "masks"
    if joined in IMAGES or ((names := {word for word in words if not word.isdigit()}) and names <= IMAGES):
        return "images"
    return ""
