"""Columns of tables that hold who a person is, by their names in many languages: HIPAA's identifiers."""

from __future__ import annotations

import re
import unicodedata

# Names of things, not of persons.
_THINGS = re.compile(
    r"\b(model|device|machine|scanner|station|protocol|series|sequence|drug|site|institution) names?\b"
)
_ENGLISH = re.compile(
    r"\b(\w*names?|initials|physician|radiologist|radiographer|technician|technologist|doctor|referrer|operator"
    r"|reader|consultant|(reported|performed|signed|read) by|signature|mother|father|guardian|spouse|next of kin"
    r"|employer|contact|birth ?(date|day)?|dob|yob|date ?of ?(birth|death)|born|dod|death ?date"
    r"|ssn|social ?security|insurance|nhs|mrn|uhid|medical ?record|medicare|aadha+r|health ?card|accession"
    r"|address|street|city|town|village|county|zip|zip ?code|post(al)? ?code|latitude|longitude|gps"
    r"|phone|telephone|mobile|fax|e ?mail|mail|ip|url|user|login|account|iban|passport|licen[cs]e|vehicle"
    r"|finger ?print|photo)\b"
    r"|\b(id|uid|number|no|nr|num|nummer|numero|номер|numer|cislo)$"
)
# Whole words, or several in a row.
_WORDS = {
    "Czech, Slovak": "jméno, meno, příjmení, priezvisko, narození, narodenia, rodné, lékař, lekár",
    "Dutch": "naam, achternaam, voornaam, geboren, geboortedatum, bsn, adres, woonplaats, huisarts",
    "Finnish": "nimi, sukunimi, etunimi, henkilötunnus, syntymäaika, osoite, puhelin, lääkäri",
    "French": "nom, prénom, né le, née le, naissance, médecin, code postal, ville, sécurité sociale",
    "German": "Geb, GebDat, PLZ, Ort, Wohnort, Arzt, Befunder, Tel, Handy, Krankenkasse",
    "Hungarian": "név, vezetéknév, keresztnév, születési, lakcím, orvos",
    "Italian": "nome, cognome, nascita, indirizzo, medico, codice fiscale, città",
    "Polish": "imię, nazwisko, PESEL, urodzenia, lekarz",
    "Portuguese": "sobrenome, nascimento, CPF, endereço, CEP, cidade",
    "Romanian": "nume, prenume, nașterii, CNP, adresa",
    "Scandinavian": "navn, namn, fornavn, efternavn, etternavn, CPR, personnummer, lege, läkare",
    "Spanish": "nombre, apellido, apellidos, nacimiento, dirección, correo, DNI, NIF, NIE, CURP",
    "Turkish": "isim, soyad, soyadı, soyisim, doğum, kimlik, doktor",
    "Vietnamese": "họ tên, họ và tên, ngày sinh, địa chỉ, bác sĩ",
    "Russian, Ukrainian": "ФИО, имя, отчество, фамилия, прізвище, рождения, адрес, адреса, врач",
    "Greek": "όνομα, επώνυμο, ονοματεπώνυμο, διεύθυνση, τηλέφωνο, ΑΜΚΑ, γέννησης, ιατρός",
    "Arabic, Hebrew, Persian": "اسم, الاسم, العنوان, الهاتف, الميلاد, نام, تولد, שם, כתובת, טלפון",
    "Hindi": "नाम, पता, जन्म",
}
# Parts of words, in languages that join them or write no spaces.
_STEMS = (
    *(
        "geburt",
        "födelse",
        "fødsels",
        "telefon",
        "teléfono",
        "téléphone",
        "телефон",
        "anschrift",
        "adress",
        "straße",
    ),
    *("nachname", "vorname", "postleitzahl", "hausarzt", "versicher", "nummer"),
    *(
        "姓名",
        "名字",
        "出生",
        "身份证",
        "身分證",
        "电话",
        "電話",
        "手机",
        "地址",
        "住址",
        "医生",
        "醫生",
        "医师",
        "醫師",
    ),
    *("氏名", "患者名", "生年月日", "住所", "郵便", "医師"),
    *("성명", "이름", "환자명", "생년월일", "주소", "전화", "주민등록", "의사"),
)


def is_personal(column: str) -> bool:
    """Whether a column's name says that it holds a person's name, birth date, address or number."""
    text = _plain(column)
    return bool(_ENGLISH.search(_THINGS.sub("", text))) or bool(_FOREIGN.search(text))


def _plain(name: str) -> str:
    """Lower the case, drop accents and put single spaces between words: ``PatientName`` → patient name."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", unicodedata.normalize("NFKC", name).replace("ß", "ss"))
    letters = unicodedata.normalize(
        "NFD", apart.translate({ord("ø"): "o", ord("ł"): "l", ord("ı"): "i"}).casefold()
    )
    return unicodedata.normalize("NFC", "".join(c for c in letters if not unicodedata.combining(c))).strip()


_WHOLE = "|".join(_plain(word) for words in _WORDS.values() for word in words.split(", "))
_FOREIGN = re.compile(rf"\b({_WHOLE})\b|{'|'.join(map(_plain, _STEMS))}")
