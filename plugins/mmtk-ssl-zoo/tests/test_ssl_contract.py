"""Every strategy keeps the contract of its kind, with its defaults and with its other branches."""

import pytest
from mmtk.testing import suite
from ssl_oracle import STRATEGIES

CASES = {
    **{word: (word, {}) for word in STRATEGIES},
    "fixmatch-aligned": ("fixmatch", {"alignment": True}),
    "softmatch-unaligned": ("softmatch", {"alignment": False}),
}
CHECKS = [
    pytest.param(check, id=f"{name}-{check}")
    for name, (word, keys) in CASES.items()
    for check in suite("ssl", STRATEGIES[word], keys=keys)
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check):
    check()
