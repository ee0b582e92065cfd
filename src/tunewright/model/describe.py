"""What a base is, read from its configuration and file headers. Knows no rows and loads no weights."""

from __future__ import annotations

import copy
import inspect
import json
import math
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    MODEL_MAPPING,
)

from tunewright.model.bases import Base, read_json, weight_files
from tunewright.recipe.errors import BaseRefusal
from tunewright.recipe.tasks import KINDS

Family = Literal["encoder", "decoder", "encoder-decoder"]
NOT_STATED = "not stated"

_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model",
                    "sentencepiece.bpe.model", "tekken.json")
_LARGEST_SENSIBLE_LIMIT = 10_000_000  # tokenizers write 1e30 for "no limit"
_OTHER_INPUTS = {"pixel_values": "image", "pixel_values_videos": "video", "input_values": "audio",
                 "input_features": "audio"}


@dataclass(frozen=True, slots=True)
class Description:
    """What a base is. `parameters` counts all tensors on disk, `trunk_parameters` those that a task uses.

    `positions` are the positions that exist (None where they are relative and unlimited), `stated_longest` is the
    longest input by the base's own settings (None where not stated); `longest` is the one that holds.
    """

    name: str
    family: Family
    modality: str  # text, image, audio, text and image, ...
    architecture: str
    model_type: str
    inputs: tuple[str, ...]
    layers: int
    width: int
    heads: int | None
    parameters: int
    trunk_parameters: int
    vocabulary: int
    positions: int | None
    stated_longest: int | None
    dtype: str
    licence: str
    bytes: int
    has_tokenizer: bool
    pooling: Literal["mean", "cls", "last"]
    decoder_start: int | None  # the token with which an encoder-decoder begins to write

    @property
    def takes_types(self) -> bool:
        """Whether the base tells the first text of a pair from the second by a type."""
        return "token_type_ids" in self.inputs

    @property
    def longest(self) -> int | None:
        """The longest sequence in tokens that the base reads; None where nothing limits it."""
        limits = [limit for limit in (self.positions, self.stated_longest) if limit is not None]
        return min(limits, default=None)

    @property
    def longest_says(self) -> str:
        """The longest input in words, with both figures where they differ."""
        if self.longest is None:
            return "no stated limit"
        if self.stated_longest is None or self.positions is None or self.stated_longest == self.positions:
            return f"{self.longest} tokens"
        by_whom = "by its own settings" if self.longest == self.stated_longest else "by its positions"
        other = f"{self.positions} positions exist" if self.longest == self.stated_longest else (
            f"its settings say {self.stated_longest}")
        return f"{self.longest} tokens {by_whom} ({other})"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "longest": self.longest, "longest_says": self.longest_says}


def describe(base: Base) -> Description:
    """What `base` is, from its configuration, its safetensors headers and its tokenizer's settings.

    Raises BaseRefusal where the configuration is not one that the installed transformers knows.
    """
    config = load_config(base.folder)
    library_class = library_class_of(config, base.folder)
    text = config.get_text_config()
    tensors = tensor_headers(base)
    trunk = skeleton(config, base.folder) if _modality(library_class) == "text" else None
    return Description(
        name=base.name,
        family=_family(config),
        modality=_modality(library_class),
        architecture=(config.architectures or [library_class.__name__])[0],
        model_type=config.model_type,
        inputs=_inputs(library_class, text),
        layers=len(layer_stack(trunk)[1]) if trunk is not None else _number(text, "num_hidden_layers") or 0,
        width=_number(text, "hidden_size") or 0,
        heads=_number(text, "num_attention_heads"),
        parameters=sum(math.prod(header["shape"]) for header in tensors),
        trunk_parameters=sum(p.numel() for p in trunk.parameters()) if trunk is not None else 0,
        vocabulary=_number(text, "vocab_size") or 0,
        positions=_positions(text, trunk),
        stated_longest=_stated_longest(base.folder),
        dtype=_main_dtype(tensors),
        licence=_licence(base.folder),
        bytes=sum((base.folder / file).stat().st_size for file in base.weight_files),
        has_tokenizer=any((base.folder / file).is_file() for file in _TOKENIZER_FILES),
        pooling=_own_pooling(base.folder) or ("last" if _family(config) == "decoder" else "mean"),
        decoder_start=_decoder_start(config),
    )


def refuse_unfit(description: Description, kind: str) -> None:
    """Raises BaseRefusal, with the reason, where the base cannot do a task of this kind."""
    assert kind in KINDS
    if description.modality != "text":
        raise BaseRefusal(
            f"The base {description.name!r} ({description.architecture}) is a model of {description.modality}, "
            f"and {kind} here reads text.",
            where="base",
            remedy="Choose a text encoder, decoder or encoder-decoder, such as minilm.",
        )
    if not description.has_tokenizer:
        raise BaseRefusal(
            f"The base {description.name!r} has no tokenizer, so texts cannot become its token ids.",
            where="base",
            remedy="Save the tokenizer that the base was trained with into its folder "
                   f"(one of {', '.join(_TOKENIZER_FILES[:4])}).",
        )
    answers = KINDS[kind].answers
    if answers == "texts" and description.family == "encoder":
        raise BaseRefusal(
            f"The base {description.name!r} ({description.architecture}) is an encoder and cannot write text.",
            where="base",
            remedy="Choose a decoder such as wright-nano, or an encoder-decoder.",
        )
    if answers == "nothing" and description.family == "encoder-decoder":
        raise BaseRefusal(
            f"{kind} is not done with an encoder-decoder such as {description.name!r}.", where="base",
            remedy="Choose a decoder, or an encoder such as minilm.",
        )  # fmt: skip
    if kind == "question_answering" and description.family == "decoder":
        raise BaseRefusal(
            f"question_answering needs a base that reads text from both sides, and {description.name!r} is a decoder.",
            where="base",
            remedy="Choose an encoder such as minilm, or answer with generation.",
        )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`; BaseRefusal where there is none or it cannot be read."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError, TypeError) as problem:
        raise BaseRefusal(
            f"The tokenizer cannot be loaded: {_first_line(problem)}",
            where=str(folder),
            remedy="Save the tokenizer that the base was trained with into its folder.",
        ) from problem


def load_config(folder: Path) -> PretrainedConfig:
    """The configuration in `folder`; BaseRefusal where it needs code of its own or is unknown."""
    read_json(folder / "config.json")
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (ValueError, KeyError, TypeError, OSError) as problem:
        raise BaseRefusal(
            f"The installed transformers does not know this base: {_first_line(problem)}",
            where=str(folder / "config.json"),
            remedy="Choose a base of a known architecture; code that comes with a model is never run.",
        ) from problem


def library_class_of(config: PretrainedConfig, folder: Path) -> type[PreTrainedModel]:
    """The bare model class that transformers has for `config`."""
    if type(config) not in MODEL_MAPPING:
        raise BaseRefusal(
            f"transformers has no bare model for the type {config.model_type!r}.",
            where=str(folder / "config.json"),
            remedy="Choose a text encoder, decoder or encoder-decoder.",
        )
    found = MODEL_MAPPING[type(config)]
    return found[0] if isinstance(found, tuple) else found


def text_encoder_class(config: PretrainedConfig) -> type[PreTrainedModel] | None:
    """The class of the encoder half alone, where the library has one and `config` is of a whole or such a half."""
    found = MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None)
    if found is not None and (config.is_encoder_decoder or found.__name__ in (config.architectures or [])):
        return found
    return None


def writing_class(config: PretrainedConfig, folder: Path) -> type[PreTrainedModel]:
    """The class with an output layer over the vocabulary that transformers has for `config`: of an encoder, that which
    fills in hidden words.
    """
    masked = _family(config) == "encoder"
    mapping = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING if config.is_encoder_decoder else MODEL_FOR_CAUSAL_LM_MAPPING
    mapping = MODEL_FOR_MASKED_LM_MAPPING if masked else mapping
    if type(config) not in mapping:
        does, other = ("fills in hidden words", "another encoder") if masked else ("writes text", "a decoder")
        raise BaseRefusal(
            f"transformers has no model of the type {config.model_type!r} that {does}.",
            where=str(folder / "config.json"),
            remedy=f"Choose {other} or an encoder-decoder." if not masked else f"Choose {other}.",
        )
    return mapping[type(config)]


def without_pooler(model_class: type[PreTrainedModel]) -> dict[str, bool]:
    """The option that leaves out a pooler, which no task here reads, where the class has it."""
    return {"add_pooling_layer": False} if accepts(model_class.__init__, "add_pooling_layer") else {}


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Whether `function` has a parameter called `name`."""
    return name in inspect.signature(function).parameters


def layer_stack(trunk: nn.Module) -> tuple[str, nn.ModuleList]:
    """Path and modules of the trunk's layers: the longest ModuleList that lies in no other."""
    return max(_outer_lists(trunk).items(), key=lambda item: len(item[1]))


def layer_stacks(trunk: PreTrainedModel) -> list[tuple[str, nn.ModuleList]]:
    """As `layer_stack`, of each half of an encoder-decoder: the decoder's, which is nearest to what is said, last."""
    return list(_outer_lists(trunk).items()) if trunk.config.is_encoder_decoder else [layer_stack(trunk)]


def _outer_lists(trunk: nn.Module) -> dict[str, nn.ModuleList]:
    lists = {path: module for path, module in trunk.named_modules() if isinstance(module, nn.ModuleList)}
    outer = {p: m for p, m in lists.items() if not any(p.startswith(f"{other}.") for other in lists)}
    if not outer:
        raise BaseRefusal(
            f"{type(trunk).__name__} has no list of layers.", where="base", remedy="Choose a transformer as the base."
        )
    return outer


def skeleton(config: PretrainedConfig, folder: Path, *, writes: bool = False) -> PreTrainedModel:
    """The trunk without weights; with its output layer if `writes`."""
    config = copy.deepcopy(config)  # some models write into the configuration they are built from
    encoder_class = None if writes else text_encoder_class(config)
    trunk_class = writing_class(config, folder) if writes else encoder_class or library_class_of(config, folder)
    with torch.device("meta"):
        trunk = trunk_class(config, **without_pooler(trunk_class))
    if config.model_type == "encoder-decoder":
        trunk.encoder.pooler = None  # the library gives it one that nothing reads
    return trunk.get_encoder() if config.is_encoder_decoder and encoder_class is None and not writes else trunk


def _family(config: PretrainedConfig) -> Family:
    encoder_class = text_encoder_class(config)
    if encoder_class is not None and encoder_class.__name__ in (config.architectures or []):
        return "encoder"
    if config.is_encoder_decoder:
        return "encoder-decoder"
    only_causal = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) not in MODEL_FOR_MASKED_LM_MAPPING
    return "decoder" if only_causal or getattr(config, "is_decoder", False) else "encoder"


def _decoder_start(config: PretrainedConfig) -> int | None:
    if not config.is_encoder_decoder:
        return None
    start = _number(config, "decoder_start_token_id")
    return start if start is not None else _number(config, "bos_token_id")


def _modality(library_class: type[PreTrainedModel]) -> str:
    main = library_class.main_input_name
    others = sorted({_OTHER_INPUTS[name] for name in _OTHER_INPUTS if accepts(library_class.forward, name)})
    if main == "input_ids":
        return " and ".join(["text", *others])
    return _OTHER_INPUTS.get(main, f"{main!r} inputs")


def _inputs(library_class: type[PreTrainedModel], text: PretrainedConfig) -> tuple[str, ...]:
    """The tensors a task gives to the base; types only where it has at least two (GPT-2 would read them as words)."""
    types = (_number(text, "type_vocab_size") or 0) > 1
    wanted = (library_class.main_input_name, "attention_mask", *(("token_type_ids",) if types else ()))
    return tuple(name for name in wanted if accepts(library_class.forward, name))


def _positions(text: PretrainedConfig, trunk: PreTrainedModel | None) -> int | None:
    """Positions that a token can have. RoBERTa counts from after its padding index, so it has fewer than it stores."""
    if trunk is not None:
        for path, module in trunk.named_modules():
            is_table = isinstance(module, nn.Embedding) and path.endswith("position_embeddings")
            if is_table and module.padding_idx is not None:
                return module.num_embeddings - module.padding_idx - 1
    return _number(text, "max_position_embeddings")


def _stated_longest(folder: Path) -> int | None:
    places = (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length"))
    limits = [read_json(folder / file).get(key) for file, key in places if (folder / file).is_file()]
    stated = [int(limit) for limit in limits if isinstance(limit, (int, float)) and 0 < limit < _LARGEST_SENSIBLE_LIMIT]
    return min(stated, default=None)


def _own_pooling(folder: Path) -> Literal["mean", "cls", "last"] | None:
    """The pooling that sentence-transformers recorded for this base."""
    path = folder / "1_Pooling" / "config.json"
    settings = read_json(path) if path.is_file() else {}
    named: dict[str, Literal["mean", "cls", "last"]] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
    flags: dict[str, Literal["mean", "cls", "last"]] = {
        "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}
    chosen = [pooling for flag, pooling in flags.items() if settings.get(flag) is True]
    return named.get(str(settings.get("pooling_mode")), chosen[0] if len(chosen) == 1 else None)


def tensor_headers(base: Base) -> list[dict[str, Any]]:
    """Type, shape and place of every tensor in the files of `base`."""
    return [header for file in weight_files(base.folder) for header in read_header(base.folder / file).values()]


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """The header of a safetensors file: tensor name to dtype, shape and place."""
    with path.open("rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_bytes))
    header.pop("__metadata__", None)
    return header


def _main_dtype(tensors: list[dict[str, Any]]) -> str:
    elements: Counter[str] = Counter()
    for header in tensors:
        elements[header["dtype"]] += math.prod(header["shape"])
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
    (dtype, _), = elements.most_common(1) or [("none", 0)]
    return names.get(dtype, dtype)


def _licence(folder: Path) -> str:
    """The licence that the README's front matter or the configuration states."""
    readme = folder / "README.md"
    stated: Any = None
    if readme.is_file():
        parts = readme.read_text(encoding="utf-8", errors="replace").split("---", 2)
        if len(parts) == 3 and not parts[0].strip():
            try:
                front = yaml.safe_load(parts[1])
            except yaml.YAMLError:
                front = None  # a malformed front matter states nothing
            stated = front.get("license") if isinstance(front, dict) else None
    stated = stated or read_json(folder / "config.json").get("license")
    return str(stated) if stated else NOT_STATED


def _number(config: PretrainedConfig, name: str) -> int | None:
    """A size in the configuration; architectures without that notion simply have no such key."""
    value = getattr(config, name, None)
    return int(value) if isinstance(value, (int, float)) else None


def _first_line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
