"""Calls that type checkers take, with the types of what they return. Read, not run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import Encoded, Plan, SentenceTransformer
from bge_micro.choices import Precision
from bge_micro.integrations.held import HeldModel, HoldsModel, hold
from bge_micro.integrations.txtai import BgeMicroTransform
from bge_micro.search import Hit, Index

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import assert_type

    from bge_micro.option_types import Everything


Floats = NDArray[np.float32]
Arrays = NDArray[Any]


class Series:
    """What pandas and Polars have."""

    def __len__(self) -> int:
        return 0

    def to_list(self) -> list[Any]:
        return []


class ChunkedArray:
    """What Arrow has."""

    def __len__(self) -> int:
        return 0

    def to_pylist(self) -> list[Any]:
        return []


class Device:
    """What torch.device has."""

    type = "cpu"
    index = None


def constructor() -> None:
    SentenceTransformer()
    SentenceTransformer(device=Device())
    SentenceTransformer("folder", compute_type="float32", threads=2, truncation="warn")
    SentenceTransformer(backend="onnx", model_kwargs={"file_name": "model.onnx"})
    SentenceTransformer(device="cpu", trust_remote_code=False, model_kwargs=None, backend="torch")
    SentenceTransformer(similarity_fn_name="dot", errors="skip", source="cache", verify=True)


def inputs(model: SentenceTransformer, objects: NDArray[np.object_]) -> None:
    model.encode(("a", "b"))
    model.encode(deque(["a"]))
    model.encode(["a", None], errors="replace")
    model.encode(np.array(["a", "b"]))
    model.encode(objects)
    model.encode(Series())
    model.encode(ChunkedArray())
    model.encode(sentences=["a"])
    model.count_tokens(Series())
    model.tokenize(["a"])


def vectors(model: SentenceTransformer, precision: Precision, yes: bool) -> None:
    assert_type(model.encode("a"), Floats)
    assert_type(model.encode(["a"]), Floats)
    assert_type(model.encode(["a"], "query"), Floats)
    assert_type(model.encode(["a"], prompt="b", threads=1, batch_size=3, device="cpu"), Floats)
    assert_type(model.encode(["a"], precision="int8", ranges=[[0.0], [1.0]]), NDArray[np.int8])
    assert_type(model.encode(["a"], precision="ubinary", truncate_dim=8), NDArray[np.uint8])
    assert_type(model.encode(["a"], precision=precision), Arrays)
    assert_type(model.encode("a", convert_to_numpy=False), Arrays)
    assert_type(model.encode(["a"], convert_to_numpy=False), list[Arrays])
    model.encode(["a"], convert_to_tensor=yes, convert_to_numpy=yes).mean()
    model.encode(["a"], convert_to_tensor=True, normalize_embeddings=True).mean()
    assert_type(model.encode_query("a", truncation="error"), Floats)
    assert_type(model.encode_document(["a"], out=np.empty((1, 384), np.float32)), Floats)


def tensors(model: SentenceTransformer, tensor: Tensor, floats: Floats) -> None:
    assert_type(model.encode(["a"], convert_to_tensor=True), "Tensor")
    assert_type(model.encode("a", convert_to_tensor=True, precision="int8"), "Tensor")
    assert_type(model.similarity(tensor, tensor), "Tensor")
    assert_type(model.similarity(tensor, floats), "Tensor")
    assert_type(model.similarity(floats, [tensor]), "Tensor")
    assert_type(model.similarity(floats, floats), Floats)
    assert_type(model.similarity([[1.0, 2.0]], floats), Floats)
    assert_type(model.similarity_pairwise(tensor, tensor), "Tensor")
    assert_type(model.similarity_pairwise(floats, floats), Floats)


def tokens(model: SentenceTransformer) -> None:
    assert_type(model.encode("a", output_value="token_embeddings"), Floats)
    assert_type(model.encode(["a"], output_value="token_embeddings"), list[Floats])
    assert_type(model.encode("a", output_value=None), Everything)
    assert_type(model.encode(["a"], output_value=None), list[Everything])
    assert_type(model.encode(["a"], output_value=None)[0]["input_ids"], NDArray[np.int64])
    assert_type(model.encode_query("a", output_value="token_embeddings"), Floats)


async def coroutines(model: SentenceTransformer) -> None:
    assert_type(await model.aencode("a", poll=lambda: None), Floats)
    assert_type(await model.aencode_query(["a"], precision="binary"), NDArray[np.int8])
    assert_type(await model.aencode_document(["a"], convert_to_numpy=False), list[Arrays])
    assert_type(await model.aencode(["a"], output_value=None), list[Everything])


def blocks(model: SentenceTransformer, lines: Iterator[str]) -> None:
    assert_type(model.encode_iter(lines, 500, precision="int8"), Iterator[Arrays])
    assert_type(model.encode_iter(lines, output_value="token_embeddings"), Iterator[Any])


def plans(model: SentenceTransformer) -> None:
    plan = model.plan(prompt_name="query", precision="uint8", truncate_dim=8, threads=1)
    assert_type(plan, Plan)
    assert_type(model.run(["a"], plan), Encoded)
    assert_type(model.run([np.array([2, 3], np.int32)], plan).truncated, NDArray[np.bool_])


def index(model: SentenceTransformer) -> None:
    made = Index(model, truncate_dim=8, precision="binary")
    made.add(["a"], errors="replace", threads=2)
    assert_type(made.search("a", 3), list[Hit])
    assert_type(made.search(["a"], k=3, threads=1), list[list[Hit]])


def integrations() -> None:
    assert_type(hold(compute_type="float32", threads=1), HeldModel)
    HoldsModel("folder", normalize_embeddings=False)
    BgeMicroTransform(precision="int8", truncation="warn")
    HeldModel(source="cache").documents(["a"], threads=1)
