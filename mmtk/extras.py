"""What to install for an extra of mmtk, as a line that works wherever mmtk was installed from."""

from __future__ import annotations

import shlex
from importlib import metadata


def install_line(extra: str) -> str:
    """The command that installs the packages of an extra, from the metadata of the installed mmtk.

    extra: its name in ``pyproject.toml``, such as ``dicom``. ``pip install 'mmtk[dicom]'`` would ask a package
    index for mmtk, which may not be there.
    """
    from packaging.requirements import Requirement

    packages = []
    for line in metadata.requires("mmtk") or ():
        requirement = Requirement(line)
        if requirement.marker and requirement.marker.evaluate({"extra": extra}) and requirement.name != "mmtk":
            requirement.marker = None
            packages.append(shlex.quote(str(requirement)))
    return " ".join(["python -m pip install", *packages])
