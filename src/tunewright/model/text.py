"""A model that writes text, or fills in hidden words: from a batch to the vectors under its vocabulary.

Logits over a vocabulary are large (tokens x 50,000 numbers), so they are never made whole: a TextModel hands out the
vectors at the places where a token is asked for, and the weight that turns them into logits. Must not know objectives,
rows or chats. Shape legend: s sequences,
t tokens, m places asked, d width, v vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tunewright.model import fused_seq2seq
from tunewright.model.fused_decoder import run_packed
from tunewright.model.fused_seq2seq import Rows, run_pairs
from tunewright.model.heads import New, Shape
from tunewright.recipe.errors import BaseRefusal
from tunewright.values import Batch, Outputs

_PROBE_TOKENS = 5
_PROBE_TOLERANCE = 1e-4  # of the largest logit, in float32


class TextModel(nn.Module):
    """A pre-trained decoder or encoder-decoder with its own output layer; nothing new is added to it.

    A sequence of an encoder-decoder is a source and, after it and marked by type 1, what the decoder reads.
    """

    def __init__(self, trunk: PreTrainedModel, shape: Shape):
        super().__init__()
        self.trunk = trunk
        self.shape = shape
        self.new = New()
        self.keep = "all"  # what a fused layer keeps for the backward pass: see `run_packed` and `run_pairs`
        _refuse_other_logits(self)

    @property
    def pad_id(self) -> int:
        """The id that stands where a batch has no token; never read."""
        config = self.trunk.config.get_text_config()
        return next((i for i in (config.pad_token_id, config.eos_token_id) if isinstance(i, int) and i >= 0), 0)

    @property
    def device(self) -> torch.device:
        return self.trunk.device

    def forward(self, batch: Batch) -> Outputs:
        """Vectors [m, d] at the places of `batch` at which a token is asked, and the output layer's weight."""
        assert batch.at_m is not None, "a text model answers at tokens"
        ways = {"decoder": self._read, "encoder": self._seen, "encoder-decoder": self._decoded}
        vectors_md = ways[self.shape.family](batch)
        vectors_md, weight_vd = self._under_vocabulary(vectors_md), self.trunk.get_output_embeddings().weight
        bias_v = _bias_of_logits(self.trunk)
        if bias_v is None:
            return Outputs(logits=None, vectors_md=vectors_md, vocabulary_vd=weight_vd)
        ones_m1 = vectors_md.new_ones(len(vectors_md), 1)  # a bias is the weight of a one
        return Outputs(
            logits=None, vectors_md=torch.cat([vectors_md, ones_m1], dim=1),
            vocabulary_vd=torch.cat([weight_vd, bias_v[:, None]], dim=1),
        )  # fmt: skip

    def _read(self, batch: Batch) -> Tensor:
        """A decoder's vectors at `at_m`, of the batch's sequences laid end to end."""
        width = batch.ids_st.shape[1]
        starts_s = batch.lengths_s.cumsum(0) - batch.lengths_s
        at_m = starts_s[batch.at_m // width] + batch.at_m % width
        return run_packed(
            self.trunk.base_model, batch.ids_st[batch.mask_st], batch.lengths_s.tolist(), at_m=at_m, keep=self.keep
        )

    def _seen(self, batch: Batch) -> Tensor:
        """An encoder's vectors at `at_m`."""
        seen_std = self.trunk.base_model(
            input_ids=batch.ids_st, attention_mask=batch.mask_st.long()
        ).last_hidden_state  # fmt: skip
        return seen_std.flatten(0, 1)[batch.at_m]

    def _decoded(self, batch: Batch) -> Tensor:
        """The decoder's vectors at `at_m`: halves of sequences laid end to end, or each padded by itself."""
        assert batch.types_st is not None and batch.at_m is not None
        target_st = batch.mask_st & (batch.types_st == 1)
        targets_s = target_st.sum(1)
        sources_s = batch.lengths_s - targets_s
        sequence_m, place_m = batch.at_m // batch.ids_st.shape[1], batch.at_m % batch.ids_st.shape[1]
        place_m = place_m - sources_s[sequence_m]
        if int(torch.minimum(sources_s, targets_s).min()) > 0 and fused_seq2seq.why_plain(self.trunk) is None:
            sources = Rows(batch.ids_st[batch.mask_st & ~target_st], sources_s.tolist())
            targets = Rows(batch.ids_st[target_st], targets_s.tolist())
            starts_s = targets_s.cumsum(0) - targets_s
            return run_pairs(self.trunk, sources, targets, at_m=starts_s[sequence_m] + place_m, keep=self.keep)
        source_st = batch.ids_st[:, : max(int(sources_s.max()), 1)]
        mask_st = torch.arange(source_st.shape[1], device=source_st.device)[None, :] < sources_s[:, None]
        places_st = sources_s[:, None] + torch.arange(int(targets_s.max()), device=source_st.device)[None, :]
        decoder_st = batch.ids_st.gather(1, places_st.clamp(max=batch.ids_st.shape[1] - 1))
        encoded_std = self.trunk.get_encoder()(
            input_ids=source_st.where(mask_st, self.pad_id), attention_mask=mask_st.long()
        ).last_hidden_state
        decoded_std = _decoder_of(self.trunk)(
            input_ids=decoder_st, encoder_hidden_states=encoded_std, encoder_attention_mask=mask_st.long(),
            use_cache=False,
        ).last_hidden_state  # fmt: skip
        return decoded_std[sequence_m, place_m]

    def _under_vocabulary(self, vectors_md: Tensor) -> Tensor:
        """What stands between the last hidden state and the output layer: BERT's transform, T5's scale, or nothing."""
        writer = _writer(self.trunk)
        if hasattr(writer, "cls"):
            return writer.cls.predictions.transform(vectors_md)
        if hasattr(writer, "vocab_transform"):  # DistilBERT
            return writer.vocab_layer_norm(writer.activation(writer.vocab_transform(vectors_md)))
        if isinstance(getattr(writer, "lm_head", None), nn.Module) and hasattr(writer.lm_head, "layer_norm"):
            return writer.lm_head.layer_norm(nn.functional.gelu(writer.lm_head.dense(vectors_md)))  # RoBERTa
        if getattr(self.trunk.config, "scale_decoder_outputs", False):
            return vectors_md * self.trunk.config.d_model**-0.5
        return vectors_md


def _writer(trunk: PreTrainedModel) -> nn.Module:
    """The part that holds the output layer: of an encoder and a decoder put together, the decoder."""
    return trunk.decoder if trunk.config.model_type == "encoder-decoder" else trunk


def _decoder_of(trunk: PreTrainedModel) -> nn.Module:
    """The part that reads what was written so far, without the output layer."""
    writer = _writer(trunk)
    return writer.base_model if writer is not trunk else trunk.get_decoder()


def _bias_of_logits(trunk: PreTrainedModel) -> Tensor | None:
    """What is added to logits: the output layer's bias, and one that some encoder-decoders (Marian) keep beside it."""
    layer, beside = trunk.get_output_embeddings(), getattr(trunk, "final_logits_bias", None)
    if beside is None or not bool(beside.any()):
        return layer.bias
    beside_v = beside[0].to(layer.weight.dtype)
    return beside_v if layer.bias is None else layer.bias + beside_v


def _refuse_other_logits(model: TextModel) -> None:
    """Raises BaseRefusal where logits are made otherwise than vector x weight (scaled, capped): training would differ.

    Seen on a few tokens, because architectures do not declare it.
    """
    trunk = model.trunk
    seed_t = torch.arange(1, 1 + _PROBE_TOKENS, device=trunk.device) % trunk.config.get_text_config().vocab_size
    ids_st = seed_t[None, :]
    given: dict[str, Any] = {"input_ids": ids_st}
    types_st, at_m = None, torch.arange(_PROBE_TOKENS)
    if model.shape.family != "encoder":
        given["use_cache"] = False
    if model.shape.family == "encoder-decoder":
        given["decoder_input_ids"] = ids_st
        types_st = torch.tensor([[0] * _PROBE_TOKENS + [1] * _PROBE_TOKENS])
        ids_st, at_m = torch.cat([ids_st, ids_st], dim=1), at_m + _PROBE_TOKENS
    batch = Batch(
        ids_st=ids_st, lengths_s=torch.tensor([ids_st.shape[1]]), types_st=types_st, owner_s=torch.zeros(1).long(),
        row_indices_b=torch.zeros(1).long(), targets=None, weights_m=torch.ones(len(at_m)), at_m=at_m,
    )  # fmt: skip
    was_training = trunk.training
    trunk.eval()
    with torch.no_grad():
        said_tv = trunk(**given).logits[0].float()
        seen = model(batch)
        made_tv = nn.functional.linear(seen.vectors_md, seen.vocabulary_vd).float()
    trunk.train(was_training)
    apart = float((said_tv - made_tv).abs().max() / said_tv.abs().max().clamp(min=1e-12))
    exact = trunk.dtype == torch.float32
    if apart > (_PROBE_TOLERANCE if exact else 0.05):
        raise BaseRefusal(
            f"{type(trunk).__name__} does not make its logits from the last hidden state by its output layer alone "
            f"(they lie {apart:.1%} apart).", where="base",
            remedy="Choose an architecture without scaled or capped logits, such as Llama, Qwen, GPT-2, T5 or BART.",
        )  # fmt: skip
