"""MPNet: all-mpnet-base-v2, multi-qa-mpnet, paraphrase-mpnet.

RoBERTa's positions, no token types, and a bias for each head and distance in attention.
"""

from __future__ import annotations

from bge_micro.checkpoint.encoder_config import EncoderConfig
from bge_micro.checkpoint.families.family import Family, Fields, Head, read_bert_sizes

# transformers has no settings for them.
_PADDING_ID = 1
_BUCKETS = 32


def _read_config(fields: Fields) -> EncoderConfig:
    fields.expect("relative_attention_num_buckets", _BUCKETS)
    return read_bert_sizes(fields)._replace(
        token_types=1,  # of zeros
        padding_id=_PADDING_ID,
        distance_buckets=_BUCKETS,
    )


MPNET = Family(
    model_types=("mpnet",),
    tokenizer_class="MPNetTokenizer",
    read_config=_read_config,
    prefix="mpnet.",
    head=Head("classifier.dense", "tanh", "classifier.out_proj"),
    names=(
        (".attention.attn.q.", ".attention.self.query."),
        (".attention.attn.k.", ".attention.self.key."),
        (".attention.attn.v.", ".attention.self.value."),
        (".attention.attn.o.", ".attention.output.dense."),
        (".attention.LayerNorm.", ".attention.output.LayerNorm."),
    ),
    token_types=False,
)
