"""BERT: bge, e5, gte, all-MiniLM, LaBSE, rubert-tiny2, paraphrase-multilingual-MiniLM."""

from __future__ import annotations

from bge_micro.checkpoint.encoder_config import EncoderConfig
from bge_micro.checkpoint.families.family import Family, Fields, Head, read_bert_sizes


def _read_config(fields: Fields) -> EncoderConfig:
    fields.expect("position_embedding_type", "absolute")
    return read_bert_sizes(fields)


BERT = Family(
    model_types=("bert",),
    tokenizer_class="BertTokenizer",
    read_config=_read_config,
    prefix="bert.",
    head=Head("bert.pooler.dense", "tanh", "classifier"),
)
