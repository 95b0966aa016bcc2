"""Patients of DICOM headers: kept together without a column, the issuer included."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from mmtk.components.source.folder import Folder
from mmtk.errors import MmtkError


def film(path: Path, patient: str, issuer: str) -> None:
    header = Dataset()
    header.PatientID, header.IssuerOfPatientID = patient, issuer
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    header.save_as(path, enforce_file_format=True)


def test_films_of_a_patient_stay_together(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    lines = ["image,label"]
    for number in range(24):
        film(tmp_path / f"films/{number}.dcm", f"P{number % 6}", "AB"[number % 12 // 6])
        lines.append(f"{number}.dcm,{'ill' if number % 2 else 'well'}")
    (tmp_path / "films.csv").write_text("\n".join(lines))
    source = Folder(tmp_path, "classification", images="films", labels="films.csv")
    parts = [{item.patient for item in source.items(part)} for part in ("train", "val", "test")]
    assert set().union(*parts) == {f"P{n}^^^{issuer}" for n in range(6) for issuer in "AB"}
    assert sum(map(len, parts)) == 12


def test_one_number_in_all_headers_is_named_where_it_hinders(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for number in range(12):
        film(tmp_path / f"films/{number}.dcm", "ANONYMOUS", "")
    (tmp_path / "films.csv").write_text("image,label\n" + "".join(f"{n}.dcm,{'ab'[n % 2]}\n" for n in range(12)))
    with pytest.raises(MmtkError, match=r"Of 12 images, 12 are of the patient 'ANONYMOUS': if that is no patient"):
        Folder(tmp_path, "classification", images="films", labels="films.csv").items("train")
