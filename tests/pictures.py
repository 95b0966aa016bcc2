"""How many dots pictures have in tests: few, since most tests ask whether there are any."""

from __future__ import annotations

import pytest

from mmtk.report.figures import style

COARSE = 50  # per inch


def draw_coarsely() -> None:
    """Draw pictures of this process in few dots, which takes half the time."""
    style.STYLE |= {"figure.dpi": COARSE, "savefig.dpi": COARSE}


def draw_as_users_get(patch: pytest.MonkeyPatch) -> None:
    """Draw pictures as users get them, for tests that compare them or look at their size."""
    for key in ("figure.dpi", "savefig.dpi"):
        patch.setitem(style.STYLE, key, style.DPI)
