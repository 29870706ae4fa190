"""DistilBERT: msmarco-distilbert, distiluse, multi-qa-distilbert. BERT without token types."""

from __future__ import annotations

from bge_micro.checkpoint.encoder_config import MAX_INNER, EncoderConfig
from bge_micro.checkpoint.families.family import (
    MAX_LAYERS,
    MAX_POSITIONS,
    MAX_VOCAB,
    Family,
    Fields,
    Head,
)

# transformers has no setting for it.
_EPSILON = 1e-12


def _read_config(fields: Fields) -> EncoderConfig:
    fields.expect_gelu("activation")
    return EncoderConfig(
        layers=fields.size("n_layers", MAX_LAYERS),
        hidden=fields.size("dim", MAX_INNER),
        heads=fields.size("n_heads", MAX_INNER),
        intermediate=fields.size("hidden_dim", MAX_INNER),
        vocab=fields.size("vocab_size", MAX_VOCAB),
        positions=fields.size("max_position_embeddings", MAX_POSITIONS),
        token_types=1,  # of zeros
        layer_norm_eps=_EPSILON,
    )


DISTILBERT = Family(
    model_types=("distilbert",),
    tokenizer_class="DistilBertTokenizer",
    read_config=_read_config,
    prefix="distilbert.",
    head=Head("pre_classifier", "relu", "classifier"),
    names=(
        ("transformer.layer.", "encoder.layer."),
        (".attention.q_lin.", ".attention.self.query."),
        (".attention.k_lin.", ".attention.self.key."),
        (".attention.v_lin.", ".attention.self.value."),
        (".attention.out_lin.", ".attention.output.dense."),
        (".sa_layer_norm.", ".attention.output.LayerNorm."),
        (".ffn.lin1.", ".intermediate.dense."),
        (".ffn.lin2.", ".output.dense."),
        (".output_layer_norm.", ".output.LayerNorm."),
    ),
    token_types=False,
)
