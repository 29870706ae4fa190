"""RoBERTa, XLM-RoBERTa and CamemBERT: multilingual-e5, bge-m3, all-distilroberta, granite.

They are BERT but for the positions, which begin behind that of the padding token.
"""

from __future__ import annotations

from bge_micro.checkpoint.encoder_config import EncoderConfig
from bge_micro.checkpoint.families.family import (
    MAX_POSITIONS,
    Family,
    Fields,
    Head,
    read_bert_sizes,
)


def _read_config(fields: Fields) -> EncoderConfig:
    fields.expect("position_embedding_type", "absolute")
    config = read_bert_sizes(fields)
    return config._replace(
        padding_id=fields.size("pad_token_id", MAX_POSITIONS, least=0, default=1)
    )


ROBERTA = Family(
    model_types=("roberta",),
    tokenizer_class="RobertaTokenizer",
    read_config=_read_config,
    prefix="roberta.",
    head=Head("classifier.dense", "tanh", "classifier.out_proj"),
)
XLM_ROBERTA = ROBERTA._replace(model_types=("xlm-roberta",), tokenizer_class="XLMRobertaTokenizer")
CAMEMBERT = ROBERTA._replace(model_types=("camembert",), tokenizer_class="CamembertTokenizer")
