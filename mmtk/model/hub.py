"""Weights on the Hugging Face hub: an address such as ``hf-hub:timm/resnet18.a1_in1k`` becomes a local file."""

from __future__ import annotations

from pathlib import Path

from mmtk.errors import MmtkError, listing

PREFIX = "hf-hub:"
# Names under which libraries store weights, the safest first.
FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
CURE = "Where there is no network, give a local file; files of the hub's cache need HF_HUB_OFFLINE=1."


def is_address(path: Path) -> bool:
    """Whether a path is an address on the hub."""
    return str(path).startswith(PREFIX)


def fetch(address: str) -> Path:
    """The file of an address ``hf-hub:OWNER/NAME``, also with ``@REVISION`` and ``/FILE`` behind it.

    It is downloaded once, into the hub's cache. MmtkError where it cannot be had or the repository has no weights.
    """
    repository, revision, name = _parts(address)
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    for known_name in (name,) if name else FILES:
        cached = try_to_load_from_cache(repository, known_name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    if constants.HF_HUB_OFFLINE:
        raise MmtkError("is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it.", address, CURE)
    try:
        name = name or _weights_name(address, repository, revision)
        return Path(hf_hub_download(repository, name, revision=revision))
    except MmtkError:
        raise
    except Exception as error:  # of the network, the hub, or a name that it does not have
        first_line = str(error).strip().partition("\n")[0]
        raise MmtkError(f"cannot be fetched from {constants.ENDPOINT}: {first_line}", address, CURE) from error


def _parts(address: str) -> tuple[str, str | None, str | None]:
    """Repository, revision and file of an address; None where it does not say one."""
    whole, _, rest = address.removeprefix(PREFIX).partition("@")
    owner, _, path = whole.partition("/")
    name, _, file = path.partition("/")
    revision, _, behind = rest.partition("/")
    if not owner or not name:
        raise MmtkError(
            "is no address on the hub.", address, "Write hf-hub:OWNER/NAME, such as hf-hub:timm/resnet18."
        )
    return f"{owner}/{name}", revision or None, file or behind or None


def _weights_name(address: str, repository: str, revision: str | None) -> str:
    """Name of the one weights file of a repository."""
    from huggingface_hub import HfApi

    names = [file for file in HfApi().list_repo_files(repository, revision=revision) if file.endswith(SUFFIXES)]
    usual = [name for name in FILES if name in names]
    if usual or len(names) == 1:
        return (usual or names)[0]
    if not names:
        raise MmtkError("has no file of weights.", address, "Take another repository.")
    raise MmtkError(
        f"has several files of weights: {listing(sorted(names))}.", address, f"Name one: {address}/{names[0]}."
    )
