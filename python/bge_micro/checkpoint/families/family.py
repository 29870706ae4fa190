"""What a family of models is, and how fields of its config.json are read and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bge_micro.checkpoint.encoder_config import MAX_INNER, EncoderConfig
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.choices import Activation

# No encoder comes near these; they keep a lying file from asking for absurd work.
MAX_LAYERS = 256
MAX_VOCAB = 2**24
MAX_POSITIONS = 2**20
MAX_TOKEN_TYPES = 1024


class Fields(NamedTuple):
    """The fields of a config.json, with readers whose errors name file, field and value.

    Attributes:
        values: The JSON object.
        where: The file, for error messages.
    """

    values: dict[str, Any]
    where: str

    def size(self, field: str, largest: int, *, least: int = 1, default: int | None = None) -> int:
        """Return a whole number from `least` to `largest`."""
        found = self.values.get(field, default)
        if type(found) is not int or not least <= found <= largest:
            raise self.error(field, found, f"expected a whole number from {least} to {largest}")
        return found

    def epsilon(self, default: float = 1e-12) -> float:
        """Return layer_norm_eps."""
        found = self.values.get("layer_norm_eps", default)
        # Below the smallest normal float32 it would vanish, and a constant row divide by zero.
        if type(found) not in (int, float) or not 1e-37 <= found <= 1.0:
            raise self.error("layer_norm_eps", found, "expected a number from 1e-37 to 1")
        return float(found)

    def expect(self, field: str, only: object) -> None:
        """Refuse any value but `only`, which a missing field means too."""
        found = self.values.get(field, only)
        if found != only:
            raise self.error(field, found, f"but only {only!r} is supported")

    def expect_gelu(self, field: str) -> None:
        """Refuse any activation but GELU (erf); "gelu_python" is its slow form in torch."""
        if self.values.get(field) != "gelu_python":
            self.expect(field, "gelu")

    def error(self, field: str, found: object, rest: str) -> CheckpointError:
        """Return the error of one field."""
        return CheckpointError(f"{self.where}: {field} is {found!r}, {rest}.")


class Head(NamedTuple):
    """The two layers of a sequence classifier, as rerankers are; the first gets the first token.

    Attributes:
        dense: The first layer's name in the family's files.
        activation: What its outputs go through.
        classifier: The name of the second layer, whose outputs are the logits.
    """

    dense: str
    activation: Activation
    classifier: str


class Family(NamedTuple):
    """How the files of one family say what this engine needs.

    Attributes:
        model_types: The values of model_type in config.json.
        tokenizer_class: transformers' tokenizer for these models, if the folder names no other.
        read_config: Reads config.json.
        prefix: What the names of the encoder's tensors begin with in a file that has a head too,
            such as "bert.".
        head: That head, in models that transformers calls ForSequenceClassification.
        names: Parts of tensor names, and what BERT has for them, each of one meaning.
        token_types: Whether there are token type embeddings.
    """

    model_types: tuple[str, ...]
    tokenizer_class: str
    read_config: Callable[[Fields], EncoderConfig]
    prefix: str
    head: Head
    names: tuple[tuple[str, str], ...] = ()
    token_types: bool = True

    def bert_name(self, name: str) -> str:
        """Return the name that BERT has for a tensor of this family."""
        for own, bert in self.names:
            name = name.replace(own, bert)
        return name

    def own_name(self, name: str) -> str:
        """Return the name that this family has for a tensor of BERT."""
        for own, bert in reversed(self.names):
            name = name.replace(bert, own)
        return name


def read_bert_sizes(fields: Fields) -> EncoderConfig:
    """Read the sizes under the names that BERT gave them, which most families kept."""
    fields.expect_gelu("hidden_act")
    fields.expect("is_decoder", False)
    return EncoderConfig(
        layers=fields.size("num_hidden_layers", MAX_LAYERS),
        hidden=fields.size("hidden_size", MAX_INNER),
        heads=fields.size("num_attention_heads", MAX_INNER),
        intermediate=fields.size("intermediate_size", MAX_INNER),
        vocab=fields.size("vocab_size", MAX_VOCAB),
        positions=fields.size("max_position_embeddings", MAX_POSITIONS),
        token_types=fields.size("type_vocab_size", MAX_TOKEN_TYPES, default=2),
        layer_norm_eps=fields.epsilon(),
    )
