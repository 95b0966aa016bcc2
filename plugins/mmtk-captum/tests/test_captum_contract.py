"""Every bridge, with every method, keeps the contract of its kind."""

import pytest
from captum_oracle import BRIDGES, CASES
from mmtk.testing import suite

CHECKS = [
    pytest.param(check, id=f"{name}-{check}")
    for name, (word, keys) in CASES.items()
    for check in suite("bridge", BRIDGES[word], keys=keys)
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check):
    check()
