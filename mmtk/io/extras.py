"""Installation of an extra of mmtk, as a line that works wherever mmtk was installed from."""

from __future__ import annotations

import shlex
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def install_line(extra: str) -> str:
    """The command that installs the packages of an extra, from the metadata of the installed mmtk.

    extra: its name in ``pyproject.toml``, such as ``dicom``. ``pip install 'mmtk[dicom]'`` would ask a package
    index for mmtk, which may not be there.
    """
    packages = [shlex.quote(str(requirement)) for requirement in requirements(extra)]
    return " ".join(["python -m pip install", *packages])


def requirements(extra: str = "") -> list[Requirement]:
    """Requirements of the installed mmtk; with the name of an extra, what that needs besides."""
    from packaging.requirements import Requirement

    results = []
    for line in metadata.requires("mmtk") or ():
        requirement = Requirement(line)
        of_extra = requirement.marker is not None and "extra" in str(requirement.marker)
        met = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if met and of_extra == bool(extra) and requirement.name != "mmtk":
            requirement.marker = None
            results.append(requirement)
    return results
