"""How pictures are drawn in tests: in few dots, not arranged, since most tests ask whether there are any."""

from __future__ import annotations

import pytest

from mmtk.report.figures import style

COARSE = 50  # dots per inch
ARRANGED = style.LAYOUT


def draw_coarsely() -> None:
    """Draw pictures of this process in few dots and without arranging axes, which takes half the time."""
    style.STYLE |= {"figure.dpi": COARSE, "savefig.dpi": COARSE}
    style.LAYOUT = "none"


def draw_as_users_get(patch: pytest.MonkeyPatch) -> None:
    """Draw pictures as users get them, for tests that compare them or look at their size."""
    for key in ("figure.dpi", "savefig.dpi"):
        patch.setitem(style.STYLE, key, style.DPI)
    patch.setattr(style, "LAYOUT", ARRANGED)
