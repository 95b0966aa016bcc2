"""The words of many languages for a film without a finding, which all count as the class ``normal``."""

from __future__ import annotations

WORDS: dict[str, tuple[str, ...]] = {
    "English": (
        "normal", "no finding", "no findings", "no abnormality", "no abnormalities", "unremarkable", "healthy",
        "negative", "neg", "control", "controls", "no", "0", "no tb", "non covid", "absent", "false", "no disease",
        "clear", "within normal limits", "wnl", "nad",
    ),
    "Arabic": ("طبيعي", "سليم"),
    "Chinese": ("正常", "未见异常", "未见明显异常", "無異常"),
    "Czech, Slovak": ("normální", "normálny", "bez nálezu", "zdravý", "negativní"),
    "Danish, Norwegian, Swedish": ("normalt", "frisk", "u.a.", "uden anmærkning", "utan anmärkning", "negativt"),
    "Dutch": ("normaal", "gezond", "geen afwijkingen", "geen bevindingen", "negatief"),
    "Finnish": ("normaali", "terve"),
    "French": (
        "sain", "saine", "normale", "normaux", "RAS", "rien à signaler", "sans anomalie", "aucune anomalie",
        "négatif",
    ),
    "German": (
        "unauffällig", "unauffaellig", "o.B.", "ohne Befund", "kein Befund", "ohne pathologischen Befund",
        "gesund", "Normalbefund", "regelrecht", "keine Auffälligkeiten", "negativ",
    ),
    "Greek": ("φυσιολογικό", "φυσιολογική", "φυσιολογικός"),
    "Hebrew": ("תקין",),
    "Hindi": ("सामान्य",),
    "Hungarian": ("normál", "egészséges", "ép", "negatív"),
    "Italian": ("normale", "sano", "sana", "negativo", "nella norma", "nei limiti", "nessun reperto"),
    "Japanese": ("正常", "異常なし", "所見なし"),
    "Korean": ("정상", "이상없음", "이상 없음"),
    "Persian": ("نرمال",),
    "Polish": ("norma", "prawidłowy", "prawidłowe", "bez zmian", "zdrowy"),
    "Portuguese": ("normal", "sadio", "saudável", "sem achados", "sem alterações", "negativo"),
    "Romanian": ("sănătos", "fără leziuni", "fără modificări"),
    "Russian, Ukrainian": (
        "норма", "нормальный", "без патологии", "без особенностей", "патологии не выявлено", "здоров",
        "без патології",
    ),
    "Spanish": (
        "sano", "sana", "normales", "sin hallazgos", "sin hallazgos patológicos", "sin alteraciones",
        "sin patología", "negativo",
    ),
    "Turkish": ("sağlıklı", "bulgu yok"),
    "Vietnamese": ("bình thường",),
}  # fmt: skip
