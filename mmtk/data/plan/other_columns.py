"""Words of columns that say no class: facts of a film, patient or device, outcomes, and other examinations."""

from __future__ import annotations

_FILMS = """
view position projection height width size date side laterality scanner manufacturer modality orientation time
study series rows columns bits subtlety year device fold split subset partition timestamp email mail
arm randomization randomisation allocation
"""
_PATIENTS = """
sex gender age hospital site institution physician radiologist weight bmi race ethnicity insurance language
geschlecht sexe sexo sesso geslacht płeć pohlaví kön пол 性别 性別 성별
alter âge edad idade età leeftijd wiek věk возраст 年龄 年齢 나이 gewicht grösse größe peso poids
"""
_OUTCOMES = """
death dead died deceased mortality survival icu intubated intubation ventilated ventilation hospitalized
hospitalised admitted discharged verstorben tod intensivstation smoker smoking raucher diabetes hypertension
fever cough dyspnea dyspnoea pregnant fieber husten vaccinated geimpft
"""
_EXAMINATIONS = "ecg ekg ct mri mrt ultrasound sono echo pet"
# Tests of the laboratory: their answers are none of a film.
TESTS = {
    *("pcr", "rtpcr", "antigen", "antibody", "serology", "igg", "igm", "hiv", "test", "lab", "swab"),
    *("sputum", "smear", "culture", "xpert", "genexpert", "igra", "quantiferon", "tst", "mantoux", "afb"),
    *("naat", "lam", "hbsag", "crp", "abstrich", "kultur", "schnelltest", "antikörper", "crachat"),
    *("cultivo", "esputo", "мазок", "核酸"),
}
# What is not to be used, and columns whose "no" says so.
EXCLUDED = {
    *(
        "exclude",
        "excluded",
        "exclusion",
        "exclusions",
        "ausschlüsse",
        "drop",
        "discard",
        "ignore",
        "skip",
        "reject",
        "rejected",
        "unusable",
    ),
    *("ausschluss", "ausgeschlossen", "ausschließen", "verworfen", "unbrauchbar", "exclu", "exclure", "écarté"),
    *(
        "excluir",
        "excluido",
        "excluído",
        "escludi",
        "escluso",
        "uitgesloten",
        "исключить",
        "исключён",
        "排除",
        "除外",
    ),
}
AGREED = {
    *(
        "qc",
        "passed",
        "include",
        "included",
        "inclusion",
        "usable",
        "eligible",
        "keep",
        "eingeschlossen",
        "einschluss",
    ),
    *(
        "verwendbar",
        "inclus",
        "inclure",
        "incluir",
        "incluido",
        "incluído",
        "incluso",
        "включён",
        "включить",
        "纳入",
    ),
    *("consent", "einwilligung", "einverständnis", "consentement", "consenso", "consentimiento", "consentimento"),
    *("toestemming", "zgoda", "согласие", "同意", "知情同意"),
}
OTHER_COLUMNS = frozenset(
    {"age group", *" ".join((_FILMS, _PATIENTS, _OUTCOMES, _EXAMINATIONS)).split()} | EXCLUDED | AGREED
)
