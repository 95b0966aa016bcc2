"""Folders that name a part beside a role: ``train_masks``, ``images_val``, ``testannot``."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from mmtk.components.source._part_words import part_of_folder
from mmtk.data.plan import words

WORD = re.compile(r"[^\W_]+")
JOINED = re.compile(r"(?i)^(training|train|validation|valid|val|testing|test)(?=[a-z]{3})")
OF_IMAGES = {"x"}  # what X_train and y_train are called by


def part_and_shape(folder: str) -> tuple[str, str]:
    """Part that a folder's name has beside other words, and the name with ``*`` in its place; "" twice without."""
    for match in (*WORD.finditer(folder), JOINED.search(folder)):
        if match and match[0] != folder and (part := part_of_folder(match[0])):
            return part, f"{folder[: match.start()]}*{folder[match.end() :]}"
    return "", ""


def shape(folder: str) -> str:
    """Name of a folder with ``*`` for the part in it: the same for the folders of all parts."""
    return part_and_shape(folder)[1] or folder


def part_of_images(folder: str) -> str:
    """Part of a folder called by a part and images, such as ``images_val``; "" for another."""
    part, name = part_and_shape(folder)
    rest = words.plain(name.replace("*", " "))
    return part if words.role(rest) == "images" or rest in OF_IMAGES else ""


def part_words(path: str) -> set[str]:
    """Folders of a file, and the parts that they name."""
    folders = PurePosixPath(path).parent.parts
    return {*folders, *(part for folder in folders if (part := words.part(folder) or part_and_shape(folder)[0]))}
