"""A tuned model as a folder that is complete by itself. Knows file formats; must not know runs, versions or rows."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tunewright.model.adapters import ADAPTER, has_lora, merge_lora
from tunewright.model.bases import Base, is_safetensors, read_json
from tunewright.model.build import Model, model_around
from tunewright.model.describe import NOT_STATED, Description, load_tokenizer, without_pooler
from tunewright.model.heads import Shape, TaskModel, VectorModel
from tunewright.model.loaders import loader_of
from tunewright.model.quantized import quantization_config, quantized_layers, unquantize_layers
from tunewright.model.text import TextModel
from tunewright.model.trunks import load_trunk, quiet_library
from tunewright.recipe.errors import BaseRefusal

ENCODER, HEAD, HEAD_WEIGHTS, TRUNK, ADAPTER_FOLDER = "encoder.json", "head.json", "head.safetensors", "trunk", "adapter"
WRITING, LOADER, LICENCE = "writing.json", "load_model.py", "LICENSE_OF_BASE"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_PEFT_PREFIX = "base_model.model."
_TOKENIZER_FILE = re.compile(r"token|vocab|merges|\.model$|\.jinja$", re.IGNORECASE)
_REMEDY = "Register or copy the model again; its folder is damaged."


class SavedModel(NamedTuple):
    """What a model folder holds: the model in evaluation mode and what is needed to feed it and read its answers."""

    model: Model
    encoder_json: dict[str, Any]
    tokenizer: PreTrainedTokenizerBase
    labels: tuple[str, ...]
    arithmetic: str  # the fastest dtype in which it was shown to answer as it was trained
    writing_json: dict[str, Any] | None = None  # how it writes where nobody says otherwise; None: greedily


def save_model(
    model: Model,
    folder: Path,
    *,
    encoder_json: Mapping[str, Any],
    labels: Sequence[str],
    base: Base,
    description: Description,
    arithmetic: str = "float32",
    tokenizer: PreTrainedTokenizerBase | None = None,
    writing_json: Mapping[str, Any] | None = None,
) -> None:
    """Writes `model` into the new or empty `folder`, weights in float32; `arithmetic` says in which dtype to serve it.

    `tokenizer` is the model's, which may know more words than the base's. What is written: trunk/ (transformers),
    adapter/ (PEFT, where the model has LoRA; trunk/ then holds the base, and of it changed what is new),
    head.safetensors (where the model has a head of its own), head.json, encoder.json, writing.json (of a model that
    answers in texts), load_model.py (needs no tunewright), LICENSE_OF_BASE. Of a model that compares texts also
    modules.json and what it names, by which SentenceTransformer(folder) gives the same vectors; as it reads no
    adapters, LoRA is merged into trunk/. Weights that are packed stay so, in the layout of transformers, save where
    LoRA is merged into them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, VectorModel):
        model = _merged(model)
    _save_trunk(model, folder / TRUNK)
    if tokenizer is None or len(tokenizer) == len(load_tokenizer(base.folder)):
        _copy_tokenizer(base, folder / TRUNK)
    else:
        tokenizer.save_pretrained(folder / TRUNK)
    if isinstance(model, TextModel) and model.shape.family == "encoder":
        _keep_settings(base, folder / TRUNK)
    if has_lora(model):
        _save_adapter(model, folder / ADAPTER_FOLDER, base)
    if isinstance(model, VectorModel):
        _describe_for_sentence_transformers(model, folder, max_length=int(encoder_json["max_length"]))
    if isinstance(model, TaskModel):
        head = {name: own_float32(tensor) for name, tensor in model.head.state_dict().items()}
        save_file(head, folder / HEAD_WEIGHTS, metadata={"format": "pt"})
    named = {"labels": list(labels), "trunk_class": type(model.trunk).__name__, "base": base.name}
    _write_json(folder / HEAD, {**asdict(model.shape), **named, "arithmetic": arithmetic})
    _write_json(folder / ENCODER, dict(encoder_json))
    if writing_json is not None:
        _write_json(folder / WRITING, writing_json)
    (folder / LOADER).write_text(loader_of(model), encoding="utf-8")
    _write_licence(folder / LICENCE, base, description)


def load_model(folder: Path, *, dtype: torch.dtype = torch.float32) -> SavedModel:
    """The model in `folder`, its trunk in `dtype`, in evaluation mode.

    Raises BaseRefusal where a file or tensor is missing, left over, of another shape, or not safetensors by content.
    """
    facts, encoder_json = _read(folder / HEAD), _read(folder / ENCODER)
    labels, trunk_class = tuple(facts.pop("labels")), facts.pop("trunk_class")
    arithmetic = facts.pop("arithmetic", "float32")
    facts.pop("base")
    for path in sorted(folder.rglob("*.safetensors")):
        _refuse_unless(is_safetensors(path), f"{path.name} is not a safetensors file by its content.", path)
    trunk = load_trunk(folder / TRUNK, dtype=dtype, class_name=trunk_class)
    model = model_around(trunk, Shape(**facts))
    if (folder / ADAPTER_FOLDER).is_dir():
        _load_adapter(model, folder / ADAPTER_FOLDER)
    if isinstance(model, TaskModel):
        _load_head(model, folder)
    writing = read_json(folder / WRITING) if (folder / WRITING).is_file() else None
    return SavedModel(model.eval(), encoder_json, load_tokenizer(folder / TRUNK), labels, arithmetic, writing)


def _load_head(model: TaskModel, folder: Path) -> None:
    head = _read_tensors(folder / HEAD_WEIGHTS)
    expected = model.head.state_dict()
    _refuse_other_tensors(head, {name: tensor.shape for name, tensor in expected.items()}, folder / HEAD_WEIGHTS)
    model.head.load_state_dict(head)


def _merged(model: VectorModel) -> VectorModel:
    """`model` itself, or where it has adapters or packed weights a copy with plain ones that hold both."""
    if not has_lora(model) and not any(quantized_layers(model.trunk)):
        return model
    model = copy.deepcopy(model)
    if has_lora(model):
        merge_lora(model)
    unquantize_layers(model.trunk)
    return model


def _describe_for_sentence_transformers(model: VectorModel, folder: Path, *, max_length: int) -> None:
    """What that library needs to make the same vectors: trunk, pooling, length 1; texts are cut to `max_length`."""
    steps = (("Transformer", TRUNK), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{step}"}
        for place, (step, path) in enumerate(steps)
    ]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n", encoding="utf-8")
    settings = {"max_seq_length": max_length, "do_lower_case": False, "model_args": without_pooler(type(model.trunk))}
    _write_json(folder / TRUNK / "sentence_bert_config.json", settings)
    names = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}
    (folder / "1_Pooling").mkdir()
    flags = {f"pooling_mode_{name}": pooling == model.shape.pooling for pooling, name in names.items()}
    _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": model.width, **flags})


def hash_of(folder: Path) -> str:
    """The sha256 of the names and contents of all files under `folder`."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def own_float32(tensor: Tensor) -> Tensor:
    """`tensor` in float32 on the CPU, in contiguous memory of its own."""
    return tensor.detach().to("cpu", torch.float32).clone(memory_format=torch.contiguous_format)


def _save_trunk(model: Model, folder: Path) -> None:
    tensors = {
        name.replace(".base_layer.", "."): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in model.trunk.state_dict().items()
        if "lora_" not in name
    }
    with quiet_library():
        model.trunk.save_pretrained(folder, state_dict=tensors)
    packing = quantization_config(model.trunk)
    config = read_json(folder / "config.json") | ({} if packing is None else {"quantization_config": packing})
    _write_json(folder / "config.json", {**config, "dtype": "float32"})


def _copy_tokenizer(base: Base, folder: Path) -> None:
    """Copies the tokenizer's files byte for byte, so that serving makes the ids that training made."""
    for file in base.hashes:
        if "/" not in file and _TOKENIZER_FILE.search(file):
            shutil.copyfile(base.folder / file, folder / file)


def _keep_settings(base: Base, folder: Path) -> None:
    """What the base says of its longest input and its pooling, for recipes whose base is this trunk."""
    for file in ("sentence_bert_config.json", "1_Pooling/config.json"):
        if (base.folder / file).is_file():
            (folder / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(base.folder / file, folder / file)


def _save_adapter(model: Model, folder: Path, base: Base) -> None:
    folder.mkdir(exist_ok=True)
    tensors = get_peft_model_state_dict(model.trunk, adapter_name=ADAPTER, save_embedding_layers=False)
    prefixed = {f"{_PEFT_PREFIX}{name}": own_float32(tensor) for name, tensor in tensors.items()}
    save_file(prefixed, folder / _ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config: LoraConfig = model.trunk.peft_config[ADAPTER]
    settings = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    writes = {"decoder": "CAUSAL_LM", "encoder-decoder": "SEQ_2_SEQ_LM"}.get(model.shape.family, "")
    sort = writes if isinstance(model, TextModel) else "FEATURE_EXTRACTION"
    settings.update(base_model_name_or_path=base.name, inference_mode=True, task_type=sort)
    _write_json(folder / "adapter_config.json", settings)


def _load_adapter(model: Model, folder: Path) -> None:
    config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = False
    inject_adapter_in_model(config, model.trunk, adapter_name=ADAPTER)
    tensors = {name.removeprefix(_PEFT_PREFIX): t for name, t in _read_tensors(folder / _ADAPTER_WEIGHTS).items()}
    expected = get_peft_model_state_dict(model.trunk, adapter_name=ADAPTER, save_embedding_layers=False)
    _refuse_other_tensors(tensors, {n: tensor.shape for n, tensor in expected.items()}, folder / _ADAPTER_WEIGHTS)
    set_peft_model_state_dict(model.trunk, tensors, adapter_name=ADAPTER)


def _refuse_other_tensors(found: Mapping[str, Tensor], expected: Mapping[str, torch.Size], path: Path) -> None:
    missing, left_over = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    misshapen = sorted(name for name in expected.keys() & found.keys() if found[name].shape != expected[name])
    for names, trouble in ((missing, "lacks"), (left_over, "has left over"), (misshapen, "has in another shape")):
        _refuse_unless(not names, f"{path.name} {trouble} {len(names)} tensors ({', '.join(names[:3])}).", path)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    _refuse_unless(path.is_file(), f"{path.name} is missing.", path)
    return {name: tensor.clone() for name, tensor in load_file(path).items()}


def _read(path: Path) -> dict[str, Any]:
    _refuse_unless(path.is_file(), f"{path.name} is missing, so this folder holds no model.", path)
    return read_json(path)


def _refuse_unless(fine: bool, what: str, path: Path) -> None:
    if not fine:
        raise BaseRefusal(what, where=str(path), remedy=_REMEDY)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_licence(path: Path, base: Base, description: Description) -> None:
    texts = sorted(file for file in base.hashes if file.upper().startswith("LICENSE"))
    if texts:
        shutil.copyfile(base.folder / texts[0], path)
    elif description.licence != NOT_STATED:
        path.write_text(f"The base {base.name} states this licence: {description.licence}\n", encoding="utf-8")
