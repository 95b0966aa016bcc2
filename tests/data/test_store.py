"""The image store: what it holds, and that no accident leaves half of it behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.data.store import FEWEST, ImageStore, duplicates, open_store
from mmtk.errors import MmtkError, Problems

SIZE = 32
COUNT = 24


class Films(Source):
    """Gray PNG files on disk; the masks are the bright half of each."""

    def __init__(self, root: Path, task: str = "classification", delay: float = 0.0) -> None:
        self.root, self.delay, self.decoded = root, delay, 0
        names = ("normal", "pneumonia") if task == "classification" else ("lung", "heart")
        self.labels = LabelSpec(task, names, exclusive=False)
        self.patients: dict[str, str] = {}

    def items(self, split: Split) -> list[Item]:
        files = sorted(self.root.glob("*.png"))
        parts = {"train": files[:12], "val": files[12:16], "test": files[16:], "all": files}
        return [
            Item(
                file.stem,
                file,
                None if number == 5 else int(file.stem[1:]) % 2,
                self.patients.get(file.stem, file.stem),
                (0.2, 0.1) if number % 3 == 0 else None,
            )
            for number, file in enumerate(files)
            if file in parts[split]
        ]

    def image(self, item: Item) -> np.ndarray:
        time.sleep(self.delay)
        self.decoded += 1
        return super().image(item)

    def mask(self, item: Item) -> np.ndarray:
        bright = super().image(item) > 127
        return np.stack([bright, ~bright]).astype(np.uint8)

    def digest(self) -> str:
        return "-".join(str(file.stat().st_mtime_ns) for file in sorted(self.root.glob("*.png")))


@pytest.fixture
def films(tmp_path: Path) -> Films:
    root = tmp_path / "films"
    root.mkdir()
    rng = np.random.default_rng(1)
    for number in range(COUNT):
        pixels = rng.integers(0, 256, (48, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"f{number:02d}.png")
    return Films(root)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def expected(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def stores(cache: Path) -> list[Path]:
    """The folders that a reader could take for a store."""
    return [entry for entry in cache.iterdir() if entry.is_dir() and ".building-" not in entry.name]


def leftovers(cache: Path) -> list[Path]:
    return list(cache.glob("*.building-*"))


def assert_whole(stored: ImageStore, films: Films) -> None:
    for name, image in zip(stored.ids, stored.images, strict=True):
        np.testing.assert_array_equal(image[0], expected(films.root / f"{name}.png"))


# ---------------------------------------------------------------- what it holds


def test_classes(films: Films, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    stored = open_store(films, SIZE, cache=cache, progress=lambda done, total: seen.append((done, total)))
    assert stored.images.shape == (COUNT, 1, SIZE, SIZE)
    assert stored.images.dtype == np.uint8
    assert_whole(stored, films)
    assert stored.targets.tolist() == [-1 if n == 5 else n % 2 for n in range(COUNT)]
    assert stored.targets.dtype == np.int64
    assert stored.ids == stored.patients == [f"f{n:02d}" for n in range(COUNT)]
    assert stored.shapes.tolist() == [[48, 40]] * COUNT
    assert stored.digest == films.digest()
    assert seen == [(n + 1, COUNT) for n in range(COUNT)]
    with pytest.raises(ValueError, match="read-only"):
        stored.images[0] = 0


def test_spacing_is_that_of_the_run_size(films: Films, cache: Path) -> None:
    spacing = open_store(films, SIZE, cache=cache).spacing
    assert len(spacing) == COUNT // 3
    # A film keeps its extent in mm: 48 rows of 0.2 mm, 40 columns of 0.1 mm.
    assert spacing["f03"] == pytest.approx((48 * 0.2 / SIZE, 40 * 0.1 / SIZE))
    assert "f01" not in spacing


def test_masks_and_unknown_masks(films: Films, cache: Path) -> None:
    source = Films(films.root, "segmentation")
    stored = open_store(source, SIZE, cache=cache)
    assert stored.targets.shape == (COUNT, 2, SIZE, SIZE)
    assert (stored.targets[5] == 255).all()
    known = np.delete(np.asarray(stored.targets), 5, axis=0)
    assert set(np.unique(known)) == {0, 1}
    # Stored at the files' own size when that is square: exactly what mask() gives.
    square = source.root / "f07.png"
    Image.fromarray(np.arange(SIZE * SIZE).astype(np.uint8).reshape(SIZE, SIZE)).save(square)
    again = open_store(source, SIZE, cache=cache)
    item = next(item for item in source.items("all") if item.id == "f07")
    np.testing.assert_array_equal(again.targets[7], source.mask(item))


def test_three_channels_repeat_gray(films: Films, cache: Path) -> None:
    gray, colour = (open_store(films, SIZE, channels, cache=cache) for channels in (1, 3))
    assert colour.images.shape == (COUNT, 3, SIZE, SIZE)
    np.testing.assert_array_equal(colour.images, np.repeat(gray.images, 3, axis=1))
    assert len(stores(cache)) == 2


def test_rows(films: Films, cache: Path) -> None:
    stored = open_store(films, SIZE, cache=cache)
    assert stored.rows(["f03", "f00", "f03"]).tolist() == [3, 0, 3]
    assert stored.rows([]).dtype == np.int64
    with pytest.raises(MmtkError, match="nobody"):
        stored.rows(["f03", "nobody"])


def test_second_open_decodes_nothing_and_new_content_does(films: Films, cache: Path) -> None:
    open_store(films, SIZE, cache=cache)
    assert films.decoded == COUNT
    again = open_store(films, SIZE, cache=cache)
    assert films.decoded == COUNT
    assert_whole(again, films)
    Image.new("L", (40, 48), 7).save(films.root / "f02.png")
    assert (open_store(films, SIZE, cache=cache).images[2] == 7).all()
    assert films.decoded == 2 * COUNT


def test_folder_comes_from_the_environment(
    films: Films, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MMTK_CACHE", raising=False)
    open_store(films, SIZE)
    assert len(stores(tmp_path / "home" / ".cache" / "mmtk")) == 1
    monkeypatch.setenv("MMTK_CACHE", str(cache))
    open_store(films, SIZE)
    assert len(stores(cache)) == 1


def test_a_home_that_cannot_be_written(films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spare = tmp_path / "spare"
    spare.mkdir()
    (tmp_path / "home").write_text("a file, so that no folder can be made in it")
    monkeypatch.delenv("MMTK_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    with pytest.warns(UserWarning, match="cannot be written"):
        first = open_store(films, SIZE)
    assert_whole(first, films)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns once
        open_store(films, SIZE)
        open_store(films, 2 * SIZE)
    assert films.decoded == 2 * COUNT
    assert len(stores(next(spare.iterdir()))) == 2


def test_a_shared_store_that_may_only_be_read(
    films: Films, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(films, SIZE, cache=cache)
    for entry in [cache, *cache.rglob("*")]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # relative paths, because the folders above may be closed to others
    reader = Films(Path("films"))
    if os.getuid() == 0:
        os.seteuid(65534)  # to root nothing is read-only
    try:
        assert not os.access("cache", os.W_OK, effective_ids=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stored = open_store(reader, SIZE, cache=Path("cache"))
    finally:
        os.seteuid(os.getuid())
        cache.chmod(0o755)
        stores(cache)[0].chmod(0o755)
    assert_whole(stored, films)
    assert reader.decoded == 0


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("task", ["classification", "segmentation"])
@pytest.mark.parametrize("file", ["images.bin", "masks.bin", "items.json", "index.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "empty"])
def test_damage_is_found_and_mended(films: Films, cache: Path, task: str, file: str, damage: str) -> None:
    source = Films(films.root, task)
    before = open_store(source, SIZE, cache=cache)
    images, targets = np.array(before.images), np.array(before.targets)
    victim = stores(cache)[0] / file
    if not victim.exists():
        assert (task, file) == ("classification", "masks.bin")
        return
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "flip":
        victim.write_bytes(data)
    elif damage == "truncate":
        os.truncate(victim, len(data) // 2)
    elif damage == "empty":
        os.truncate(victim, 0)
    else:
        victim.unlink()
    with pytest.warns(UserWarning, match="damaged"):
        again = open_store(source, SIZE, cache=cache)
    np.testing.assert_array_equal(again.images, images)
    np.testing.assert_array_equal(again.targets, targets)
    assert not leftovers(cache)
    assert source.decoded == 2 * COUNT


# ---------------------------------------------------------------- bad files


def test_all_bad_files_are_named_together(films: Films, cache: Path) -> None:
    truncated, foreign = films.root / "f03.png", films.root / "f17.png"
    os.truncate(truncated, truncated.stat().st_size // 2)
    foreign.write_text("this is not an image")
    with pytest.raises(Problems) as caught:
        open_store(films, SIZE, cache=cache)
    assert [problem.id for problem in caught.value.problems] == ["f03", "f17"]
    text = str(caught.value)
    assert text.startswith(f"2 of {COUNT} images could not be read")
    assert str(truncated) in text
    assert str(foreign) in text
    assert not stores(cache)
    assert not leftovers(cache)


def test_what_a_component_gets_wrong_is_named(films: Films, cache: Path) -> None:
    class Wrong(Films):
        def image(self, item: Item) -> np.ndarray:
            images = {"f00": np.zeros((4, 4)), "f01": np.zeros((4, 4, 2), np.uint8), "f02": {}["gone"]}
            return images[item.id] if item.id in images else super().image(item)

    with pytest.raises(Problems, match="'gone'"):
        open_store(Wrong(films.root), SIZE, cache=cache)

    class Masks(Films):
        def mask(self, item: Item) -> np.ndarray:
            whole = super().mask(item)
            return {"f00": whole[:1], "f01": whole.astype(float)}.get(item.id, whole)

    with pytest.raises(Problems) as caught:
        open_store(Masks(films.root, "segmentation"), SIZE, cache=cache)
    assert [problem.id for problem in caught.value.problems] == ["f00", "f01"]

    class Classes(Films):
        def items(self, split: Split) -> list[Item]:
            return [Item(item.id, item.image, 2, item.patient) for item in super().items(split)]

    with pytest.raises(Problems, match="class 2 of 'f00' is not in 0…1"):
        open_store(Classes(films.root), SIZE, cache=cache)


def test_empty_source(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(MmtkError, match="no images"):
        open_store(Films(tmp_path), SIZE, cache=cache)


# ---------------------------------------------------------------- accidents while building


def build(root: Path, cache: Path, pipe: Connection) -> None:
    films = Films(root, delay=0.03)
    pipe.send("ready")
    pipe.recv()
    stored = open_store(films, SIZE, cache=cache, progress=lambda done, total: pipe.send(done))
    pipe.send(("end", films.decoded, np.array(stored.images)))


@dataclass
class Builder:
    """Another process that waits for a word to open a store."""

    process: BaseProcess
    pipe: Connection

    def hear(self) -> object:
        assert self.pipe.poll(120), "the process is silent"
        return self.pipe.recv()

    def result(self) -> tuple[int, np.ndarray]:
        while not isinstance(word := self.hear(), tuple):
            pass
        self.process.join()
        assert self.process.exitcode == 0
        return word[1:]


def builder(films: Films, cache: Path) -> Builder:
    context = multiprocessing.get_context("fork")  # torch is imported already
    ours, theirs = context.Pipe()
    process = context.Process(target=build, args=(films.root, cache, theirs), daemon=True)
    process.start()
    return Builder(process, ours)


def test_two_processes_at_once(films: Films, cache: Path) -> None:
    both = [builder(films, cache) for _ in range(2)]
    assert [each.hear() for each in both] == ["ready", "ready"]
    for each in both:
        each.pipe.send("go")
    (decoded, images), (also_decoded, same_images) = (each.result() for each in both)
    np.testing.assert_array_equal(images, same_images)
    assert {decoded, also_decoded} == {0, COUNT}  # one waited for the other
    assert len(stores(cache)) == 1
    assert not leftovers(cache)
    assert_whole(open_store(films, SIZE, cache=cache), films)
    assert films.decoded == 0


def test_kill_in_the_middle(films: Films, cache: Path) -> None:
    other = builder(films, cache)
    assert other.hear() == "ready"
    other.pipe.send("go")
    assert [other.hear() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert not stores(cache)  # nothing half-built is ever visible
    assert len(leftovers(cache)) == 1
    other.process.kill()
    other.process.join()
    assert other.process.exitcode == -signal.SIGKILL
    assert_whole(open_store(films, SIZE, cache=cache), films)
    assert films.decoded == COUNT
    assert not leftovers(cache)


def test_a_dead_builder_of_another_store_is_swept_and_a_live_one_is_not(films: Films, cache: Path) -> None:
    dead = cache / f"films-old.building-{'0' * 32}"
    foreign = cache / "my.building-plans"
    other = Films(films.root)

    def meanwhile(done: int, total: int) -> None:
        if done == 3:
            dead.mkdir()
            foreign.mkdir()
            (dead / "images.bin").write_bytes(b"0" * 100)
            open_store(other, 2 * SIZE, cache=cache)
            assert not dead.exists()
            assert foreign.is_dir()  # a folder of the user's
            foreign.rmdir()
            assert len(leftovers(cache)) == 1

    assert_whole(open_store(films, SIZE, cache=cache, progress=meanwhile), films)
    assert other.decoded == films.decoded == COUNT


def test_a_file_system_without_locks(films: Films, cache: Path) -> None:
    open_store(films, SIZE, cache=cache)
    name = stores(cache)[0].name
    (cache / f"{name}.lock").unlink()
    (cache / f"{name}.lock").mkdir()  # no lock can be had on a folder opened for writing
    os.truncate(cache / name / "images.bin", 5)
    sources = [Films(films.root, delay=0.01) for _ in range(3)]

    def at_once() -> list[ImageStore]:
        with ThreadPoolExecutor(len(sources)) as pool:
            return list(pool.map(lambda source: open_store(source, SIZE, cache=cache), sources))

    with pytest.warns(UserWarning, match="damaged"):
        found = at_once()
    assert all(source.decoded == COUNT for source in sources)
    for stored in found:
        assert_whole(stored, films)
    assert [path.name for path in cache.iterdir() if path.is_dir() and path.name == name] == [name]
    assert not leftovers(cache)


def test_a_limit_on_the_size_of_files(films: Films, cache: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (COUNT * SIZE * SIZE // 2, hard))
    try:
        with pytest.raises(MmtkError) as caught:
            open_store(films, SIZE, cache=cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    text = str(caught.value)
    assert str(cache) in text
    assert f"{COUNT * SIZE * SIZE:,} bytes" in text
    assert "MMTK_CACHE" in text
    assert not stores(cache)
    assert not leftovers(cache)
    assert_whole(open_store(films, SIZE, cache=cache), films)


@pytest.fixture
def small_disk(cache: Path) -> Iterator[Path]:
    cache.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(cache)]
    if subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield cache
    subprocess.run(["umount", str(cache)], check=True)


def test_a_full_disk(films: Films, small_disk: Path) -> None:
    with pytest.raises(MmtkError, match="is full") as caught:
        open_store(films, 4 * SIZE, cache=small_disk)
    text = str(caught.value)
    assert str(small_disk) in text
    assert f"{COUNT * 16 * SIZE * SIZE:,} bytes" in text
    assert "MMTK_CACHE" in text
    assert films.decoded == 0  # known before any work
    assert not stores(small_disk)


def test_a_disk_that_fills_up_while_building(films: Films, small_disk: Path) -> None:
    def fill(done: int, total: int) -> None:
        if done == 3:
            (small_disk / "other").write_bytes(bytes(36 * 1024))  # another program's file

    with pytest.raises(MmtkError, match="is full"):
        open_store(films, SIZE, cache=small_disk, progress=fill)
    assert not stores(small_disk)
    assert not leftovers(small_disk)
    (small_disk / "other").unlink()
    assert_whole(open_store(films, SIZE, cache=small_disk), films)


# ---------------------------------------------------------------- duplicates


def test_duplicates(films: Films, cache: Path) -> None:
    assert duplicates(open_store(films, SIZE, cache=cache)) == []
    for of, to in (("f00", "f01"), ("f02", "f12")):
        (films.root / f"{to}.png").write_bytes((films.root / f"{of}.png").read_bytes())
    assert duplicates(open_store(films, SIZE, cache=cache)) == [("f00", "f01"), ("f02", "f12")]


def test_images_that_differ_in_one_pixel_are_no_duplicates(films: Films, cache: Path) -> None:
    stored = open_store(films, SIZE, cache=cache)
    images = np.repeat(stored.images[:1], len(stored.ids), axis=0)
    images[np.arange(1, len(images)), 0, 1, np.arange(1, len(images)) % SIZE] += 1
    assert duplicates(replace(stored, images=images)) == []
    images[2] = images[1]
    assert duplicates(replace(stored, images=images)) == [(stored.ids[1], stored.ids[2])]


def test_nothing_is_pickled(films: Films, cache: Path) -> None:
    open_store(films, SIZE, cache=cache)
    folder = stores(cache)[0]
    assert sorted(path.name for path in folder.iterdir()) == ["images.bin", "index.json", "items.json"]
    for path in folder.glob("*.json"):
        json.loads(path.read_text())


class Drawn(Source):
    """Images made in code; ``bad`` cannot be made; ``folder`` gets a file for each process that draws."""

    labels = LabelSpec("classification", ("normal", "ill"))

    def __init__(self, folder: Path, bad: str = "") -> None:
        self.folder, self.bad = folder, bad
        folder.mkdir()

    def items(self, split: Split) -> list[Item]:
        return [Item(f"{number:04d}", None, number % 2, f"p{number}") for number in range(FEWEST * 4)]

    def image(self, item: Item) -> np.ndarray:
        if item.id == self.bad:
            raise MmtkError("has no pixels.", item.id)
        self.folder.joinpath(str(os.getpid())).touch()
        return np.full((8, 8), int(item.id), np.uint8)

    def digest(self) -> str:
        return "drawn"


def test_images_made_in_code_are_drawn_in_forks_and_come_in_order(tmp_path: Path) -> None:
    source = Drawn(tmp_path / "processes")
    store = open_store(source, 8, cache=tmp_path / "cache")
    assert store.ids == [item.id for item in source.items("all")]
    assert store.images[:, 0, 0, 0].tolist() == [number % 256 for number in range(len(store.ids))]
    several = min(4, len(os.sched_getaffinity(0))) > 1
    assert (str(os.getpid()) in {path.name for path in source.folder.iterdir()}) != several


def test_an_image_that_cannot_be_drawn_is_named_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(Problems, match="has no pixels") as caught:
        open_store(Drawn(tmp_path / "processes", "0060"), 8, cache=tmp_path / "cache")
    assert [problem.id for problem in caught.value.problems] == ["0060"]
