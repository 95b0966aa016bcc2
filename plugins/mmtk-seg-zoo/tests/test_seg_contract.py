"""Every strategy keeps the contract of its kind."""

import pytest
from mmtk.testing import suite
from seg_oracle import CASES, IDS, STRATEGIES

FEWER = {"ua-mt": {"passes": 2}}  # than its eight by default, each a pass through the network
CHECKS = [
    pytest.param(check, id=f"{name}-{check}")
    for name, (word, keys) in zip(IDS, CASES, strict=True)
    for check in suite("consistency", STRATEGIES[word], keys=keys or FEWER.get(word, {}))
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check):
    check()
