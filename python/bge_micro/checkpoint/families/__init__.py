"""The families of models: for each, where its config, tensors and tokenizer settings are found.

Every family becomes a BERT encoder under BERT's names; what its arithmetic has beyond BERT is a
field of `EncoderConfig`.
"""

from __future__ import annotations

from typing import Any

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.families.bert import BERT
from bge_micro.checkpoint.families.distilbert import DISTILBERT
from bge_micro.checkpoint.families.electra import ELECTRA
from bge_micro.checkpoint.families.family import Family, Fields
from bge_micro.checkpoint.families.mpnet import MPNET
from bge_micro.checkpoint.families.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA

FAMILIES = (BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, DISTILBERT, ELECTRA, MPNET)

_BY_MODEL_TYPE = {name: family for family in FAMILIES for name in family.model_types}

__all__ = ["FAMILIES", "Family", "Fields", "family_of"]


def family_of(fields: dict[str, Any], where: str) -> Family:
    """Return the family that a config.json names by its model_type.

    Args:
        fields: The fields of config.json.
        where: The file, for error messages.

    Raises:
        CheckpointError: The family is not known; the message lists those that are.
    """
    found = fields.get("model_type")
    if found is None and fields.get("architectures") == ["BertModel"]:
        return BERT  # config files of BERT's first years name only the class
    if not isinstance(found, str) or found not in _BY_MODEL_TYPE:
        raise CheckpointError(
            f"{where}: model_type is {found!r}, but this engine runs encoders of the types "
            f"{', '.join(_BY_MODEL_TYPE)} only."
        )
    return _BY_MODEL_TYPE[found]
