"""Calls that type checkers report: each line that ends in `# wrong`. Read, not run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from bge_micro.integrations.held import HeldModel, HoldsModel, hold
from bge_micro.integrations.txtai import BgeMicroTransform
from bge_micro.search import Index


def constructor() -> None:
    SentenceTransformer(compute_typ="int8")  # wrong
    SentenceTransformer(compute_type="int4")  # wrong
    SentenceTransformer(threads="2")  # wrong
    SentenceTransformer(truncation="loud")  # wrong
    SentenceTransformer(errors="ignore")  # wrong
    SentenceTransformer(similarity_fn_name="cos")  # wrong
    SentenceTransformer(device="cuda")  # wrong
    SentenceTransformer(trust_remote_code=True)  # wrong
    SentenceTransformer(model_kwargs={"a": 1})  # wrong


def inputs(model: SentenceTransformer, floats: NDArray[np.float32]) -> None:
    model.encode(123)  # wrong
    model.encode([1, 2])  # wrong
    model.encode(b"bytes")  # wrong
    model.encode({"a": 1})  # wrong
    model.encode({"a", "b"})  # wrong
    model.encode(None)  # wrong
    model.encode(floats)  # wrong
    model.encode(text for text in "abc")  # wrong
    model.count_tokens(3)  # wrong
    model.tokenize(3)  # wrong
    model.run([1, 2], model.plan())  # wrong


def keywords(model: SentenceTransformer) -> None:
    model.encode("a", normalise=True)  # wrong
    model.encode("a", normalize_embeddings="yes")  # wrong
    model.encode("a", precision="int4")  # wrong
    model.encode("a", output_value="tokens")  # wrong
    model.encode("a", truncate_dim=0.5)  # wrong
    model.encode("a", pool=[1])  # wrong
    model.encode("a", device="cuda")  # wrong
    model.encode("a", task="retrieval")  # wrong
    model.encode_query("a", promt="b")  # wrong
    model.encode_query(3)  # wrong
    model.encode_document(["a"], precision="float16")  # wrong
    model.encode_document(["a"], 3)  # wrong
    model.encode_iter(["a"], precison="int8")  # wrong
    model.encode_iter(["a"], out=np.empty((1, 384)))  # wrong
    model.encode_iter(3)  # wrong
    model.plan(normalize=True)  # wrong
    model.plan(precision="int4")  # wrong
    model.space_id_of(precision="int4")  # wrong
    model.save_pretrained("folder", compute_type="int4")  # wrong


def results(model: SentenceTransformer) -> None:
    model.encode("a").append(1)  # wrong
    model.encode(["a"], output_value="token_embeddings").shape  # wrong  # noqa: B018
    model.encode("a", output_value=None)["embedding"]  # wrong


async def coroutines(model: SentenceTransformer) -> None:
    await model.aencode(123)  # wrong
    await model.aencode("a", normalise=True)  # wrong
    await model.aencode_query("a", precision="int4")  # wrong
    await model.aencode_document("a", output_value="tokens")  # wrong


def index(model: SentenceTransformer) -> None:
    Index(model, precision="int4")  # wrong
    Index(model, normalise=True)  # wrong
    Index(model).add(3)  # wrong
    Index(model).add(["a"], precision="int8")  # wrong
    Index(model).search(3)  # wrong
    Index(model).search("a")[0].texts  # wrong  # noqa: B018


def integrations() -> None:
    HoldsModel(compute_typ="int8")  # wrong
    BgeMicroTransform(precision="int4")  # wrong
    hold(normalise=True)  # wrong
    HeldModel(truncation="loud")  # wrong
    HeldModel().documents(3)  # wrong
    HeldModel().queries(["a"], precision="int8")  # wrong
