"""Fonts of all pictures, and one sentence on signs that none of them has."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

FONT = "DejaVu Sans"
# For signs that FONT has not, such as Chinese, Japanese and Korean ones: the installed ones, in this order.
MORE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR"),
    *("Source Han Sans SC", "Source Han Sans", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("IPAexGothic", "IPAGothic", "NanumGothic", "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic"),
    *("PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS", "Noto Sans"),
)
NO_GLYPH = re.compile(r"Glyph (\d+) .*missing from")


@cache
def families() -> list[str]:
    """FONT, then the installed ones of MORE_FONTS."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [FONT, *(name for name in MORE_FONTS if name in installed)]


@contextmanager
def missing_signs() -> Iterator[None]:
    """Warn once of all signs that no font has, in place of matplotlib's warning for each of them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    signs: set[str] = set()
    for one in caught:
        if match := NO_GLYPH.match(str(one.message)):
            signs.add(chr(int(match[1])))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if signs:
        warnings.warn(
            f"Pictures show boxes in place of {' '.join(sorted(signs))}, which no font here has. Install one that "
            "does, such as Noto Sans CJK, and draw them again: those of runs and studies with mmtk report, others "
            "with the same command."
        )
