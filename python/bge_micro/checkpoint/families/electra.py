"""ELECTRA, if its embeddings are as wide as its layers (those of the base and large sizes are)."""

from __future__ import annotations

from bge_micro.checkpoint.encoder_config import MAX_INNER, EncoderConfig
from bge_micro.checkpoint.families.family import Family, Fields, Head, read_bert_sizes


def _read_config(fields: Fields) -> EncoderConfig:
    fields.expect("position_embedding_type", "absolute")
    config = read_bert_sizes(fields)
    width = fields.size("embedding_size", MAX_INNER, default=128)
    if width != config.hidden:
        raise fields.error(
            "embedding_size",
            width,
            f"but hidden_size is {config.hidden}; a projection from one to the other is not "
            "supported, only ELECTRA models in which both are equal",
        )
    return config


ELECTRA = Family(
    model_types=("electra",),
    tokenizer_class="ElectraTokenizer",
    read_config=_read_config,
    prefix="electra.",
    head=Head("classifier.dense", "gelu", "classifier.out_proj"),
)
