"""Metadata of sources: what is handed on, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtk.api import MmtkError
from mmtk.components.source._personal_columns import is_personal
from mmtk.components.source.chex import CheX
from mmtk.components.source.folder import Folder
from mmtk.components.source.jsrt import JSRT
from mmtk.components.source.mcu import MCU
from mmtk.components.source.nihx import NIHX
from mmtk.images.ages import age_in_years


def folder(root: Path, header: str, rows: list[str], **keys: object) -> Folder:
    """Films f00.png, …, with one row each behind image, label and split."""
    (root / "films").mkdir(exist_ok=True)
    lines = [f"image,label,split,{header}"]
    for number, row in enumerate(rows):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(root / f"films/f{number:02}.png")
        split = ("train", "val", "test")[number // 2 % 3]
        lines.append(f"f{number:02}.png,{'ab'[number % 2]},{split},{row}")
    (root / "table.csv").write_text("\n".join(lines))
    return Folder(root, "classification", images="films", labels="table.csv", **keys)  # type: ignore[arg-type]


def facts(source: Folder) -> list[dict[str, str | float]]:
    return [dict(item.metadata) for item in source.items("all")]


def notes(source: Folder) -> str:
    return "\n".join(source.notes)


def test_further_columns_of_a_table_are_handed_on(tmp_path):
    source = folder(tmp_path, "age,view,dose", ["058Y,PA,1.5", "061Y,AP,2", ",PA,", *["040Y,nan,1"] * 3])
    assert facts(source)[0] == {"age": 58.0, "view": "PA", "dose": 1.5}
    assert facts(source)[2] == {"view": "PA"}
    assert "metadata are taken from these columns of table.csv: age, dose, view" in notes(source)


def test_metadata_change_no_digest(tmp_path):
    digest = folder(tmp_path, "age", [str(n) for n in range(6)]).digest()
    named = folder(tmp_path, "age", [str(n) for n in range(6)], metadata=())
    assert [*map(len, facts(named))] == [0] * 6
    assert named.digest() == digest


PERSONAL = (
    "Patient Name, patientName, Full Name, DOB, birth_date, Year of Birth, Date of Death, E-Mail, "
    "Accession Number, reader, Reported by, MRN, NHS number, Zip Code, GPS, Nachname, "
    "Name des Patienten, Geburtsdatum, Geb.-Datum, GebDat, Anschrift, Straße, STRASSE, PLZ, "
    "Telefonnummer, Hausarzt, Versichertennummer, Prénom, Prenom, Date de naissance, téléphone, "
    "Apellido, fecha_nacimiento, dirección, Cognome, codice fiscale, Data de nascimento, Achternaam, "
    "Фамилия, Дата рождения, 姓名, 患者姓名, 出生日期, 氏名, 生年月日, 환자명, 주민등록번호, Imię, "
    "Příjmení, personnummer, födelsedatum, fødselsdato, syntymäaika, doğum tarihi, họ tên, "
    "ημερομηνία γέννησης, الاسم, שם, नाम, Lakcím, Data nașterii"
)
IMPERSONAL = (
    "age, sex, view, Follow-up, manufacturer, ManufacturerModelName, station_name, scanner, nodule, "
    "site, hospital, dose, ViewPosition, number of lesions, nominal, domain, phonetic, Geschlecht, "
    "Alter, âge, sexe, Aufnahme, 年龄, 性别, пол, возраст"
)


def test_columns_that_name_persons_are_refused_by_name_in_many_languages(tmp_path):
    assert [column for column in PERSONAL.split(", ") if not is_personal(column)] == []
    assert [column for column in IMPERSONAL.split(", ") if is_personal(column)] == []
    source = folder(tmp_path, "Anschrift,sex", ["x,F"] * 6)
    assert facts(source) == [{"sex": "F"}] * 6
    assert "left out, because they may name persons: Anschrift" in notes(source)
    assert (
        facts(folder(tmp_path, "Anschrift,sex", ["x,F"] * 6, metadata=("Anschrift",))) == [{"Anschrift": "x"}] * 6
    )


def test_dates_and_free_text_are_left_out(tmp_path):
    rows = [
        f"2017-03-{n % 28 + 1:02},{n % 28 + 1}. März 2017,line {n},{n % 2},{('AP', 'ap', 'PA')[n % 3]}"
        for n in range(16)
    ]
    source = folder(tmp_path, "taken,seen,report,flag,view", rows)
    assert {tuple(one.items()) for one in facts(source)} == {
        (("flag", flag), ("view", view)) for flag in (0.0, 1.0) for view in ("AP", "PA")
    }  # AP and ap are one view
    assert "because they hold dates: seen, taken" in notes(source)
    assert "because they hold free text, or more than 50 categories: report" in notes(source)


def test_a_column_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(MmtkError, match=r"metadata: no column 'agee'\. Did you mean 'age'"):
        folder(tmp_path, "age", ["1"] * 6, metadata=("agee",))


@pytest.mark.parametrize(
    ("text", "years"),
    [("058Y", 58), ("018M", 1.5), ("58", 58), ("003D", 0.008), ("414", None), ("", None), ("old", None)],
)
def test_ages(text, years):
    assert age_in_years(text) == years


def test_dicom_gives_age_sex_view_manufacturer_and_site_and_no_more(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    film = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    film.PatientName, film.PatientID, film.PatientBirthDate = "Doe^Jane", "77", "19500101"
    film.PatientAge, film.PatientSex, film.ViewPosition = "058Y", "F", "AP"
    film.Manufacturer, film.InstitutionName = "Maker", "North"
    (tmp_path / "films").mkdir()
    for number in range(6):
        film.PatientID = str(number)
        film.save_as(tmp_path / f"films/f{number}.dcm")
    rows = [f"f{n}.dcm,{'ab'[n % 2]},{('train', 'val', 'test')[n // 2]},PA" for n in range(6)]
    (tmp_path / "table.csv").write_text("\n".join(["image,label,split,view", *rows]))
    source = Folder(tmp_path, "classification", images="films", labels="table.csv")
    expected = {"age": 58.0, "sex": "F", "view": "PA", "manufacturer": "Maker", "site": "North"}
    assert facts(source) == [expected] * 6  # the table counts before the header


def film(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), number, np.uint8)).save(path)


def test_nihx_hands_on_age_sex_view_and_further_findings(tmp_path):
    rows = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    for number in range(4):
        film(tmp_path / f"NIHX/images/{number:08}_000.png", number)
        label = "Pneumonia|Edema" if number % 2 else "No Finding"
        rows.append(f"{number:08}_000.png,{label},{number},{number},{30 + number},{'MF'[number % 2]},AP")
    (tmp_path / "NIHX/Data_Entry_2017.csv").write_text("\n".join(rows))
    metadata = {item.id: item.metadata for item in NIHX(tmp_path).items("all")}
    assert metadata["00000001_000"] == {
        "age": 31.0,
        "sex": "F",
        "view": "AP",
        "follow-up": 1.0,
        "other findings": 1.0,
    }
    assert metadata["00000002_000"] == {
        "age": 32.0,
        "sex": "M",
        "view": "AP",
        "follow-up": 2.0,
        "other findings": 0.0,
    }


def test_nihx_hands_on_boxes_of_pneumonia_as_shares_of_the_image(tmp_path):
    rows = ["Image Index,Finding Labels,Follow-up #,Patient ID"]
    for number in range(4):
        film(tmp_path / f"NIHX/images/{number:08}_000.png", number)
        rows.append(f"{number:08}_000.png,{'Pneumonia' if number % 2 else 'No Finding'},0,{number}")
    (tmp_path / "NIHX/labels.csv").write_text("\n".join(rows))
    assert not any(item.boxes for item in NIHX(tmp_path).items("all"))
    digest = NIHX(tmp_path).digest()
    table = tmp_path / "NIHX/BBox_List_2017.csv"
    boxes = ["00000001_000.png,Mass,0,0,9,9,,,", "00000001_000.png,Pneumonia,512,256,128,64,,,"]
    table.write_text("\n".join(["Image Index,Finding Label,Bbox [x,y,w,h],,,", *boxes, ""]))
    source = NIHX(tmp_path)
    assert {item.id: item.boxes for item in source.items("all") if item.boxes} == {
        "00000001_000": ((0.5, 0.25, 0.125, 0.0625),)
    }
    assert source.digest() == digest
    table.write_text("Image Index,Finding Label,Bbox\n00000001_000.png,Pneumonia,512,x,128,64\n")
    with pytest.raises(MmtkError, match=r"the box of 00000001_000\.png is no four numbers"):
        NIHX(tmp_path)


def test_chex_hands_on_bacteria_or_virus(tmp_path):
    for first, part in enumerate(("train", "val", "test")):
        for number, kind in enumerate(("bacteria", "virus")):
            film(tmp_path / f"chest_xray/{part}/NORMAL/IM-{first}{number}-0001.jpeg", number)
            film(tmp_path / f"chest_xray/{part}/PNEUMONIA/person{first}{number}_{kind}_1.jpeg", number)
    causes = {item.id.rpartition("/")[2]: item.metadata.get("cause") for item in CheX(tmp_path).items("all")}
    assert {cause for name, cause in causes.items() if "bacteria" in name} == {"bacteria"}
    assert {cause for name, cause in causes.items() if "virus" in name} == {"virus"}
    assert {cause for name, cause in causes.items() if "IM-" in name} == {None}


def test_jsrt_and_mcu_hand_on_what_their_names_say(tmp_path):
    for name in ("JPCLN001", "JPCLN002", "JPCNN001", "JPCNN002"):
        film(tmp_path / f"JSRT/images/{name}.png", 1)
        film(tmp_path / f"JSRT/masks/{name}.png", 255)
    nodules = {item.id: item.metadata["nodule"] for item in JSRT(tmp_path).items("all")}
    assert nodules == {"JPCLN001": "yes", "JPCLN002": "yes", "JPCNN001": "no", "JPCNN002": "no"}
    rows = ["study_id,subtlety,size,age,gender", "JPCLN001.png,5,15,53,Male", "JPCNN001.png,,,?,Female"]
    digest = JSRT(tmp_path).digest()
    (tmp_path / "JSRT/jsrt_metadata.csv").write_text("\n".join(rows))
    facts = {item.id: item.metadata for item in JSRT(tmp_path).items("all")}
    assert facts["JPCLN001"] == {"nodule": "yes", "age": 53.0, "sex": "M"}
    assert facts["JPCNN001"] == {"nodule": "no", "sex": "F"}
    assert facts["JPCNN002"] == {"nodule": "no"}
    assert JSRT(tmp_path).digest() == digest
    for name in ("MCUCXR_0001_0", "MCUCXR_0002_1"):
        for part in ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask"):
            film(tmp_path / f"MCU/{part}/{name}.png", 255)
    ill = {item.id: item.metadata["tuberculosis"] for item in MCU(tmp_path).items("all")}
    assert ill == {"MCUCXR_0001_0": "no", "MCUCXR_0002_1": "yes"}


def test_mcu_reads_clinical_readings(tmp_path):
    for part in ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask"):
        path = tmp_path / f"MCU/{part}/MCUCXR_0001_1.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(path)
    (tmp_path / "MCU/ClinicalReadings").mkdir()
    text = "Patient's Sex: F\nPatient's Age: 027Y\nnormal"
    (tmp_path / "MCU/ClinicalReadings/MCUCXR_0001_1.txt").write_text(text)
    (item,) = MCU(tmp_path).items("all")
    assert item.metadata == {"tuberculosis": "yes", "sex": "F", "age": 27.0}
