"""Spelling of paths and commands, fit to read and to paste."""

from __future__ import annotations

import os
import re
import shlex
from unicodedata import category, normalize


def visible(text: str | os.PathLike[str]) -> str:
    """A path as text that every file and terminal takes: bytes of a file name that are no UTF-8 as ``\\xf6``."""
    return _bytes(os.fspath(text)).decode("utf-8", "backslashreplace")


def folded_word(text: str) -> str:
    """A word in the one spelling by which words are compared.

    Case, kinds of spaces, wide letters, composition (NFC, NFD) and signs that nobody sees, such as those of
    writing direction, make no difference.
    """
    if not text.isascii():
        text = "".join(sign for sign in normalize("NFKC", text) if category(sign) != "Cf")
    return " ".join(text.casefold().split())


def without_marks(text: str) -> str:
    """A text without the marks of writing direction and the spaces without width that programs put into it."""
    return re.sub("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]", "", text)


def _bytes(text: str) -> bytes:
    """The bytes of a file name, whatever the locale; half a pair of surrogates has none and is spelled out."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def quoted(word: str | os.PathLike[str]) -> str:
    """A word as a shell takes it back; bytes that are no UTF-8 in the form ``$'\\xf6'`` of bash and zsh.

    A path that begins with a dash gets ``./`` before it, or commands would take it for an option.
    """
    text = os.fspath(word)
    if text.startswith("-") and not isinstance(word, str):
        text = f"./{text}"
    if visible(text) == text and text.isprintable():
        return shlex.quote(text)
    # A digit behind \xNN is no part of it: shells read two digits at most.
    plain = {byte: chr(byte) for byte in range(32, 127) if byte not in b"'\\"}
    signs = (plain.get(byte, f"\\x{byte:02x}") for byte in _bytes(text))
    return f"$'{''.join(signs)}'"


def command(*words: str | os.PathLike[str]) -> str:
    """``mmtk`` and its words as one line that can be pasted into a shell."""
    return " ".join(["mmtk", *map(quoted, words)])


def file_name(text: str, most: int) -> str:
    """A file name for every file system: no separators and reserved signs, at most ``most`` bytes."""
    # The name of a file stands in tables, too, where a first sign such as = would make a formula of it.
    plain = re.sub(r"^[=+\-@]", "_", visible(text))
    plain = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]+', "-", plain)
    return plain.encode()[:most].decode(errors="ignore").rstrip(" ") or "-"
