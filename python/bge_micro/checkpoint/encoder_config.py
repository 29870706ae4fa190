"""The sizes of an encoder, as the core reads them."""

from __future__ import annotations

from typing import Any, NamedTuple

# The int8 kernels sum this many products of 8-bit numbers exactly in 32 bits.
MAX_INNER = 32768


class EncoderConfig(NamedTuple):
    """Sizes of a post-norm BERT encoder with GELU (erf) and absolute positions.

    The core reads them by these names (cpp/model/config.h).

    Attributes:
        layers: Number of transformer layers.
        hidden: Size of a token's vector.
        heads: Number of attention heads.
        intermediate: Size of the feed-forward layer.
        vocab: Rows of the word embeddings.
        positions: Rows of the position embeddings.
        token_types: Rows of the token type embeddings.
        layer_norm_eps: Added to the variance in every LayerNorm.
        padding_id: RoBERTa's positions: a token with this id has the position of this number,
            wherever it is in a text, and all others are counted from the next one on. -1 for
            BERT's positions, which begin with 0.
        distance_buckets: Rows of MPNet's table of attention biases: what each head adds to a score
            for the distance of query and key, in buckets as T5 has them. 0 for none.
    """

    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocab: int
    positions: int
    token_types: int
    layer_norm_eps: float
    padding_id: int = -1
    distance_buckets: int = 0

    @property
    def head_size(self) -> int:
        """Features of one attention head."""
        return self.hidden // self.heads

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest text, special tokens included."""
        return self.positions - self.padding_id - 1

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a Hugging Face config.json of an equal encoder."""
        architecture, model_type = "BertModel", "bert"
        if self.distance_buckets:
            architecture, model_type = "MPNetModel", "mpnet"
        elif self.padding_id >= 0:
            architecture, model_type = "XLMRobertaModel", "xlm-roberta"
        biases = {"relative_attention_num_buckets": self.distance_buckets}
        return {
            "architectures": [architecture],
            "attention_probs_dropout_prob": 0.0,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "layer_norm_eps": self.layer_norm_eps,
            "max_position_embeddings": self.positions,
            "model_type": model_type,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "pad_token_id": max(self.padding_id, 0),
            "position_embedding_type": "absolute",
            "type_vocab_size": self.token_types,
            "vocab_size": self.vocab,
            **(biases if self.distance_buckets else {}),
        }
