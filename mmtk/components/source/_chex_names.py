"""Names of the films of CheX, from which its patients are read. No torch."""

from __future__ import annotations

import re

# The number alone is not a person: person100_bacteria and person100_virus are two.
PATIENT = re.compile(r"person\d+_[a-z]+|(?:NORMAL2-)?IM-\d+", re.IGNORECASE)
# Mendeley's third version: DISEASE-PATIENT-IMAGE, where the number is the patient, whatever the disease.
NUMBERED = re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(\d+)-\d+", re.IGNORECASE)
