"""The program that is saved beside a model and answers without tunewright. Knows shapes; must not know files."""

from __future__ import annotations

from tunewright.model.adapters import has_lora
from tunewright.model.build import Model, has_head, writes_text
from tunewright.model.describe import without_pooler
from tunewright.model.quantized import quantized_layers
from tunewright.recipe.tasks import KINDS

_POOLINGS = {
    "mean": "vectors.mean(1)",
    "cls": "vectors[:, 0]",
    "last": "vectors[:, -1]",
    "attention": "attend(vectors)",
}
_OUTPUTS = {
    "classification": "logits.softmax(0)",
    "multi_label": "logits.sigmoid()",
    "regression": "logits",
}
_OPENING = '''\
"""python load_model.py {usage}, by {libraries} alone.
A long text is cut; only tunewright reads windows."""
import json, pathlib, sys
import safetensors.torch, torch
from {module} import {trunk_class}
from transformers import AutoTokenizer
here = pathlib.Path(__file__).resolve().parent
head, encoder = (json.loads((here / name).read_text("utf-8")) for name in ("head.json", "encoder.json"))
trunk = {trunk_class}.from_pretrained(here / "trunk"{options}){unpacked}.eval()
{adapter}{head}{pooler}{hidden}tokenizer = AutoTokenizer.from_pretrained(here / "trunk")
'''
_POOLER = '''\
def attend(vectors):
    parts, queries = vectors.unflatten(2, linear["queries_hd"].shape), linear["queries_hd"]
    weights = (torch.einsum("sthd,hd->sth", parts, queries) * queries.shape[1] ** -0.5).softmax(1)
    return torch.einsum("sth,sthd->shd", weights, parts).flatten(1)
'''
_HIDDEN = '''\
def hidden(vectors):
    return torch.nn.functional.{activation}(
        torch.nn.functional.linear(vectors, linear["hidden.weight"], linear["hidden.bias"]))
'''
_LOADER = _OPENING + '''\
texts = sys.argv[1:] if encoder.get("join") != "lines" else ["\\n".join(sys.argv[1:])]
inputs = tokenizer(*texts, truncation=True, max_length=encoder["max_length"], return_tensors="pt")
with torch.inference_mode():
    vectors = trunk(**{{name: inputs[name] for name in inputs if name in {inputs}}}).last_hidden_state
    logits = torch.nn.functional.linear({reads}, linear["weight"], linear["bias"])
print(json.dumps(dict(zip(head["labels"] or ["value"], {outputs}.tolist()))))
'''
_AT_TOKENS = _OPENING + '''\
inputs = tokenizer(*sys.argv[1:], truncation=True, max_length=encoder["max_length"], return_tensors="pt",
                   return_offsets_mapping=True)
offsets, parts = inputs["offset_mapping"][0].tolist(), inputs.sequence_ids(0)
with torch.inference_mode():
    vectors = trunk(**{{name: inputs[name] for name in inputs if name in {inputs}}}).last_hidden_state[0]
    logits = torch.nn.functional.linear({reads}, linear["weight"], linear["bias"])
'''
_TAGGER = _AT_TOKENS + '''\
tags = ["O", *(f"{{prefix}}-{{label}}" for label in head["labels"] for prefix in "BI")]
for (start, end), tag in zip(offsets, logits.argmax(1).tolist()):
    if start < end:
        print(json.dumps([sys.argv[1][start:end], tags[tag]], ensure_ascii=False))
'''
_ANSWERER = _AT_TOKENS + '''\
context = [i for i, part in enumerate(parts) if part == 1]
best = max(((logits[i, 0] + logits[j, 1]).item(), i, j) for i in context for j in context if i <= j < i + 30)
found = best[0] >= logits[0].sum().item()
print(json.dumps(sys.argv[2][offsets[best[1]][0]:offsets[best[2]][1]] if found else None, ensure_ascii=False))
'''
_COMPARER = _OPENING + '''\
def vector(text):
    inputs = tokenizer(text, truncation=True, max_length=encoder["max_length"], return_tensors="pt")
    vectors = trunk(**{{name: inputs[name] for name in inputs if name in {inputs}}}).last_hidden_state
    return torch.nn.functional.normalize({pooling}[0], dim=0)
with torch.inference_mode():
    first, second = map(vector, sys.argv[1:3])
print(json.dumps({{"value": head["zero"] + head["unit"] * (first @ second).item()}}))
'''
_WRITER = '''\
"""python load_model.py TEXT: what the model in this folder writes after TEXT, by {libraries} alone.
With a chat template TEXT is what the user says. Labels or a schema that answers keep to are not known here."""
import json, pathlib, sys
from {module} import {trunk_class}
from transformers import AutoTokenizer, GenerationConfig
here = pathlib.Path(__file__).resolve().parent
encoder = json.loads((here / "encoder.json").read_text("utf-8"))
how = {{"generate": {{"max_new_tokens": encoder.get("room", 256)}}}}
how = json.loads((here / "writing.json").read_text("utf-8")) if (here / "writing.json").exists() else how
tokenizer = AutoTokenizer.from_pretrained(here / "trunk")
trunk = {trunk_class}.from_pretrained(here / "trunk"){unpacked}.eval()
trunk.generation_config = GenerationConfig(
    eos_token_id=encoder.get("ends", tokenizer.eos_token_id), pad_token_id=tokenizer.pad_token_id,
    decoder_start_token_id=encoder.get("start"), **how["generate"])
{adapter}template, text = encoder.get("template"), sys.argv[1]
if template:
    said = [("system", encoder["system"]), ("user", text)]
    text = tokenizer.apply_chat_template(
        [{{"role": role, "content": content}} for role, content in said if content],
        chat_template=template["source"], add_generation_prompt=True, tokenize=False)
elif encoder["reads"] == "blocks":
    text = tokenizer.eos_token + text  # as in training, a text begins where another ended
whole = encoder.get("start") is not None
inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False, add_special_tokens=whole)
read = 0 if whole else inputs["input_ids"].shape[1]
written = trunk.generate(**inputs, tokenizer=tokenizer)
print(tokenizer.decode(written[0, read:], skip_special_tokens=True))
'''
_FILLER = '''\
"""python load_model.py TEXT: the likeliest words where TEXT has the token that hides one, by {libraries} alone."""
import json, pathlib, sys
import torch
from {module} import {trunk_class}
from transformers import AutoTokenizer
here = pathlib.Path(__file__).resolve().parent
tokenizer = AutoTokenizer.from_pretrained(here / "trunk")
trunk = {trunk_class}.from_pretrained(here / "trunk").eval()
{adapter}inputs = tokenizer(sys.argv[1], return_tensors="pt")
with torch.inference_mode():
    logits = trunk(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[0]
for place in (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten().tolist():
    found = logits[place].softmax(0).topk(5)
    print(json.dumps({{tokenizer.decode([word]): round(p, 4)
                      for p, word in zip(found.values.tolist(), found.indices.tolist())}}, ensure_ascii=False))
'''


def loader_of(model: Model) -> str:
    """A program that answers one text with the libraries' own classes alone."""
    lora, trunk_class, kind = has_lora(model), type(model.trunk), model.shape.kind
    adapt = 'trunk = __import__("peft").PeftModel.from_pretrained(trunk, here / "adapter").eval()\n'
    packed = any(quantized_layers(model.trunk))
    libraries = ["transformers", *(["peft"] if lora else []), *(["bitsandbytes"] if packed else [])]
    said = {
        "libraries": " and ".join(libraries), "module": trunk_class.__module__, "trunk_class": trunk_class.__name__,
        "adapter": adapt if lora else "", "unpacked": ".dequantize()" if packed else "",
    }  # fmt: skip
    if writes_text(kind) and model.shape.family == "encoder":
        return _FILLER.format(**said)
    if writes_text(kind):
        return _WRITER.format(**said)
    head = 'linear = safetensors.torch.load_file(here / "head.safetensors")\n'
    said["head"] = head if has_head(kind) else ""
    said["options"] = "".join(f", {name}={value}" for name, value in without_pooler(trunk_class).items())
    inputs = ("input_ids", "attention_mask", *(("token_type_ids",) if model.shape.takes_types else ()))
    shape = model.shape
    said["pooler"] = _POOLER if shape.pooling == "attention" else ""
    said["hidden"] = _HIDDEN.format(activation=shape.activation) if shape.hidden else ""
    vectors = "vectors" if kind in ("token_classification", "question_answering") else f"{_POOLINGS[shape.pooling]}[0]"
    said["reads"] = f"hidden({vectors})" if shape.hidden else vectors
    if kind == "token_classification":
        return _TAGGER.format(usage="TEXT: the tag of each piece of a word", inputs=inputs, **said)
    if KINDS[kind].compares:
        return _COMPARER.format(usage="TEXT TEXT: how alike two texts are", inputs=inputs,
                                pooling=_POOLINGS[model.shape.pooling], **said)  # fmt: skip
    if kind == "question_answering":
        return _ANSWERER.format(usage="QUESTION CONTEXT: the answer, or null", inputs=inputs, **said)
    return _LOADER.format(
        usage="TEXT [SECOND TEXT]: what the model in this folder answers", inputs=inputs, outputs=_OUTPUTS[kind],
        **said,
    )  # fmt: skip
