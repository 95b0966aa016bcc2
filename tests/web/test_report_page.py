"""The page of a study in a real browser: it renders, sorts, enlarges, and fits a phone."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from html import escape
from pathlib import Path

import pytest
from pictures import draw_as_users_get
from tiny import tiny

from mmtk.report.analysis import analyse
from mmtk.report.figures import study as study_figures
from mmtk.report.page import write_report
from mmtk.study.results import from_runs
from mmtk.workflows import run as run_workflow

pytestmark = pytest.mark.web

# The page runs in a frame of a phone's or a desktop's width, and the page around it looks at it and presses.
HARNESS = """<!doctype html><body><iframe id="desk" style="width:1200px;height:800px" srcdoc="{page}"></iframe>
<iframe id="phone" style="width:360px;height:700px" srcdoc="{page}"></iframe><pre id="found"></pre><script>
const look = (frame) => {{
  const page = frame.contentDocument, root = page.documentElement;
  const images = [...page.querySelectorAll("figure img")];
  return {{width: root.scrollWidth, inner: frame.contentWindow.innerWidth, images: images.length,
    broken: images.filter((image) => !image.naturalWidth).length,
    wide: [...page.querySelectorAll("main *")].filter((one) => !one.closest(".box, dialog, figure button > img") &&
      one.getBoundingClientRect().right > frame.contentWindow.innerWidth + 1).map((one) => one.outerHTML),
    scrolls: [...page.querySelectorAll("details")].every((one) => (one.open = true)) &&
      [...page.querySelectorAll(".box")].some((box) => box.scrollWidth > box.clientWidth)}};
}};
const press = (page) => {{
  const head = page.querySelector("#scores thead th:nth-child(5)"), button = head.querySelector("button");
  const column = () => [...page.querySelectorAll("#scores tbody td:nth-child(5)")].map((c) => c.dataset.value);
  const found = {{before: column()}};
  button.click(); found.up = column(); found.upLabel = head.getAttribute("aria-sort");
  button.click(); found.down = column(); found.downLabel = head.getAttribute("aria-sort");
  page.querySelector("#scores thead th button").click();
  found.names = [...page.querySelectorAll("#scores tbody th")].map((cell) => cell.textContent);
  found.sorted = page.querySelectorAll("#scores [aria-sort]").length;
  const ground = () => page.defaultView.getComputedStyle(page.body).backgroundColor;
  const theme = page.querySelector(".theme");
  const filter = (name) => page.defaultView.getComputedStyle(page.querySelector(name)).filter;
  const look = () => [ground(), filter("figure .drawing"), filter("dialog div")];
  found.themes = [look()]; theme.click(); found.themes.push(look());
  page.querySelector("figure button").click();
  const dialog = page.querySelector("dialog");
  found.open = dialog.open; found.large = dialog.querySelector("img").naturalWidth;
  dialog.querySelector("button").click(); found.closed = !dialog.open;
  return found;
}};
addEventListener("load", () => {{
  const found = {{desk: look(desk), phone: look(phone), pressed: press(desk.contentDocument)}};
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script></body>"""


def browse(address: str, folder: Path) -> tuple[str, list[str]]:
    """The page after its scripts, and what they wrote to the console."""
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--enable-logging=stderr",
        "--v=0",
        f"--user-data-dir={folder / 'browser'}",
        "--window-size=1300,1600",
        "--dump-dom",
        address,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return ended.stdout, [line for line in ended.stderr.splitlines() if ":CONSOLE" in line]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    paths = []
    for name, seed in itertools.product(("umtl", "umtl-s"), (0, 1)):
        paths.append(folder / f"{name}-{seed}")
        run_workflow.run(tiny(name, seed=seed, train__steps=2), paths[-1], pictures=False)
    study = from_runs(paths)
    study.cells[0].reference, study.cells[1].reference = False, True
    study.gaps.append("a gap with a-very-long-word-" + "x" * 80)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_figures, "AT_BUDGET", {"scores": study_figures.scores})
        draw_as_users_get(patch)
        return write_report(analyse(study), folder / "report")


def test_the_page_opens_from_its_file_without_a_word_on_the_console(report, tmp_path):
    page, console = browse(report.as_uri(), tmp_path)
    assert console == []
    # Only the script writes what the theme's button would turn the page into.
    assert re.search(r'class="theme">(Dark|Light)<', page)
    assert "<h1>" in page


def test_pictures_load_tables_sort_and_a_phone_does_not_overflow(report, tmp_path):
    harness = tmp_path / "harness.html"
    harness.write_text(HARNESS.format(page=escape(report.read_text())))
    page, console = browse(harness.as_uri(), tmp_path)
    assert console == []
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', page, re.DOTALL)[1])

    for name in ("desk", "phone"):
        assert found[name]["images"] >= 3
        assert found[name]["broken"] == 0
        assert found[name]["width"] <= found[name]["inner"]
        assert found[name]["wide"] == []
    assert found["phone"]["inner"] == 360
    assert found["phone"]["scrolls"]

    pressed = found["pressed"]
    values = [float(value) for value in pressed["before"]]
    assert [float(value) for value in pressed["up"]] == sorted(values)
    assert [float(value) for value in pressed["down"]] == sorted(values, reverse=True)
    assert values != sorted(values)
    assert (pressed["upLabel"], pressed["downLabel"]) == ("ascending", "descending")
    assert pressed["names"] == sorted(pressed["names"])
    assert pressed["sorted"] == 1
    (ground, drawing, other), (other_ground, other_drawing, other_again) = pressed["themes"]
    assert ground != other_ground
    assert sorted([drawing, other_drawing]) == ["invert(0.91) hue-rotate(180deg)", "none"]
    assert other == other_again == "none"
    assert pressed["open"]
    assert pressed["large"] > 0
    assert pressed["closed"]
