"""The documentation opened as files, as `make docs` leaves it: no server and no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.web
ROOT = Path(__file__).parents[2]


def test_the_search_finds_pages_without_a_server(tmp_path):
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    page = subprocess.run(
        [
            *(
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={tmp_path / 'browser'}",
            ),
            *("--virtual-time-budget=20000", "--dump-dom", f"file://{site}/how-to/predict.html?q=mixmatch"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    ).stdout
    found = re.search(r'md-search-result__meta">(\d+) matching documents', page)
    assert found is not None, "the search never answered"
    assert int(found[1]) > 3
