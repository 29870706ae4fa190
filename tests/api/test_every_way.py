"""Every way to a vector gives the same bits: the class, the command line, the index, the server.

Each model is asked with every option that decides about vectors, in every combination that a way
can express. What is expected is `encode`'s result, which is checked against NumPy first.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from api.tiny_model import write_tiny_model
from bge_micro import Plan, SentenceTransformer
from bge_micro.cli import main
from bge_micro.integrations.held import HeldModel
from bge_micro.search import Index

Vectors = NDArray[Any]
Options = dict[str, Any]

MODELS: dict[str, Options] = {
    "plain": {},
    "normalize": {"normalize": True},
    "without_prompt": {"include_prompt": False, "default_prompt_name": "document"},
    "all": {
        "normalize": True,
        "include_prompt": False,
        "truncate_dim": 40,
        "default_prompt_name": "query",
    },
}
LONG = "a b c. " * 20  # over the limit of 32 tokens
TEXTS = ["a b, c", "", "h", "g abc.", LONG, "d e f g h"]

# What decides about a vector's bits.
DECIDING: dict[str, list[Any]] = {
    "prompt_name": [None, "query", "document"],
    "prompt": [None, "", "e f. "],
    "normalize_embeddings": [False, True],
    "truncate_dim": [None, 24],
    "precision": ["float32", "int8", "uint8", "binary", "ubinary"],
}
# What does not.
CHANGING_NOTHING: dict[str, list[Any]] = {
    "batch_size": [1, 7],
    "show_progress_bar": [False, None],
    "output_value": ["sentence_embedding", None],
    "convert_to_numpy": [True, False],
    "device": [None, "cpu"],
    "out": [None, "an array"],
    "errors": ["strict", "replace", "skip"],
    "truncation": ["silent", "warn"],
    "threads": [1, 2, 3],
    "poll": [lambda: None],
}
# In neither list: names of the texts, refused options, and options with their own tests.
OTHERS = {"inputs", "sentences", "pool", "chunk_size", "convert_to_tensor", "ranges"}


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("models") / request.param
    write_tiny_model(folder, **MODELS[request.param])
    return SentenceTransformer(folder, threads=2)


def combinations(**some: list[Any]) -> Iterator[Options]:
    """Yield options in every combination, with other values for `some` of them."""
    values = DECIDING | some
    for chosen in product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def same(found: Vectors, expected: Vectors) -> bool:
    return (found.dtype, found.shape) == (expected.dtype, expected.shape) and (
        found.tobytes() == expected.tobytes()
    )


def folder_of(model: SentenceTransformer) -> str:
    return str(model.__getstate__()["_source"].model_name_or_path)


def test_no_option_is_forgotten(model: SentenceTransformer) -> None:
    options = set(inspect.signature(model.encode).parameters) - {"options"}
    assert options == {*DECIDING, *CHANGING_NOTHING, *OTHERS}
    planned = set(inspect.signature(model.plan).parameters)
    assert planned == {*DECIDING, "truncation", "threads"}
    assert set(Plan._fields) == {
        "prompt", "limit", "skip", "dimensions", "normalize", "normalize_whole", "precision",
        "truncation", "threads",
    }  # fmt: skip


def test_encode_gives_what_numpy_gives(
    model: SentenceTransformer, request: pytest.FixtureRequest
) -> None:
    settings = MODELS[request.node.callspec.params["model"]]
    special = 1  # [CLS]
    for options in combinations(precision=["float32"]):
        name = options["prompt_name"] or settings.get("default_prompt_name")
        prompt = options["prompt"]
        if prompt is None:
            prompt = model.prompts[name] if name else ""
        skip = 0
        if prompt and not settings.get("include_prompt", True):
            skip = special + len(model.tokenizer.encode(prompt, add_special_tokens=False).ids)
        found = model.encode(TEXTS, **options)
        dimensions = options["truncate_dim"] or settings.get("truncate_dim") or 64
        assert found.shape == (len(TEXTS), dimensions)
        tokens = model.encode(TEXTS, prompt=prompt, output_value="token_embeddings")
        for vector, rows in zip(found, tokens, strict=True):
            expected = rows[skip:].astype(np.float64).mean(0)
            if settings.get("normalize"):
                expected /= np.linalg.norm(expected)
            expected = expected[:dimensions]
            if options["normalize_embeddings"]:
                expected /= np.linalg.norm(expected)
            np.testing.assert_allclose(vector, expected, rtol=0, atol=2e-6)


def test_in_every_form(model: SentenceTransformer) -> None:
    for options in combinations(prompt_name=[None, "query"], prompt=[None]):
        expected = model.encode(TEXTS, **options)
        for name, value in [(n, v) for n, values in CHANGING_NOTHING.items() for v in values]:
            texts = [*TEXTS[:1], *TEXTS[2:], None] if name == "errors" else TEXTS
            rows = {"skip": [0, 2, 3, 4, 5], "replace": [0, 2, 3, 4, 5, 1]}.get(value)
            if name == "errors" and rows is None:
                with pytest.raises(ValueError, match="row 5 is None"):
                    model.encode(texts, **options, errors=value)
                continue
            if name == "output_value" and value is None:
                if options["precision"] == "float32":
                    everything = model.encode(texts, **options, output_value=None)
                    found = np.stack([text["sentence_embedding"] for text in everything])
                    assert same(found, expected)
                continue
            given = np.empty_like(expected) if value == "an array" else value
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of truncation
                found = np.stack(list(model.encode(texts, **options, **{name: given})))
            assert same(found, expected if rows is None else expected[rows]), (name, value)


def test_by_plan_one_by_one_in_blocks_and_from_coroutines(model: SentenceTransformer) -> None:
    for options in combinations():
        expected = model.encode(TEXTS, **options)
        plan = model.plan(**options)
        assert same(model.run(TEXTS, plan).vectors, expected)
        assert same(np.stack([model.encode(text, **options) for text in TEXTS]), expected)
        assert same(np.concatenate(list(model.encode_iter(TEXTS, 4, **options))), expected)
        assert same(asyncio.run(model.aencode(TEXTS, **options)), expected)


def test_by_token_ids(model: SentenceTransformer) -> None:
    for options in combinations(prompt_name=[None], prompt=[""]):
        plan = model.plan(**options)
        both = model.run(TEXTS, plan, token_embeddings=True)
        assert same(both.vectors, model.encode(TEXTS, **options))
        assert same(model.run(both.token_ids, plan).vectors, both.vectors)
        counts = model.count_tokens(TEXTS)
        if not model.default_prompt_name:
            assert both.token_counts.tolist() == counts.used.tolist()
            assert both.truncated.tolist() == counts.truncated.tolist()


def test_queries_and_documents(model: SentenceTransformer) -> None:
    for options in combinations(prompt_name=[None], prompt=[None]):
        del options["prompt_name"], options["prompt"]
        held = HeldModel(folder_of(model), threads=2, **options)
        queries = model.encode(TEXTS, **options, prompt_name="query")
        documents = model.encode(TEXTS, **options, prompt_name="document")
        assert same(model.encode_query(TEXTS, **options), queries)
        assert same(model.encode_document(TEXTS, **options), documents)
        assert same(asyncio.run(model.aencode_query(TEXTS, **options)), queries)
        assert same(asyncio.run(model.aencode_document(TEXTS, **options)), documents)
        assert same(held.queries(TEXTS), queries)
        assert same(held.documents(TEXTS), documents)
        if options["normalize_embeddings"] == (options["precision"] == "float32"):
            index = Index(
                model, truncate_dim=options["truncate_dim"], precision=options["precision"]
            )
            index.add(TEXTS[:2])
            index.add(TEXTS[2:])
            assert same(index.vectors, documents)


def test_from_the_command_line(model: SentenceTransformer, tmp_path: Path) -> None:
    for number, options in enumerate(combinations()):
        # A model is loaded each time, so not every one: 17 divides none of the lists' lengths.
        if number % 17 or (options["prompt_name"] and options["prompt"] is not None):
            continue
        argv = ["embed", "--model", folder_of(model), "-o", str(tmp_path / "v.npy")]
        argv += ["--truncation", "silent", "--batch-size", "4", "--threads", "2"]
        argv += ["--normalize"] if options["normalize_embeddings"] else []
        for option in ("prompt", "prompt_name", "truncate_dim", "precision"):
            if options[option] is not None:
                argv += [f"--{option.replace('_', '-')}", str(options[option])]
        assert main([*argv, "--", *TEXTS]) == 0
        assert same(np.load(tmp_path / "v.npy"), model.encode(TEXTS, **options)), options


@pytest.mark.skipif(
    not all(map(find_spec, ("starlette", "uvicorn", "httptools", "orjson", "httpx"))),
    reason="the server's packages (bge-micro[server]) and httpx are not installed",
)
def test_from_the_server(model: SentenceTransformer) -> None:
    from server.servers import running

    lengths = model.run(TEXTS, model.plan(prompt=""), token_embeddings=True)
    ids = [row.tolist() for row in lengths.token_ids]
    with running(model, auto_truncate=True) as server, server.client() as client:

        def post(path: str, **fields: Any) -> Any:
            answer = client.post(path, json=fields)
            assert answer.status_code == 200, answer.text
            return answer.json()

        for options in combinations(precision=["float32"], prompt=[None]):
            name, dimensions = options["prompt_name"], options["truncate_dim"]
            expected = model.encode(TEXTS, **options)
            optional = {"prompt_name": name} if name else {}
            optional |= {"dimensions": dimensions} if dimensions else {}
            normalize = options["normalize_embeddings"]
            found = post("/embed", inputs=TEXTS, normalize=normalize, **optional)
            assert same(np.array(found, np.float32), expected), options
            plain = model.encode(TEXTS, **{**options, "prompt": ""})
            found = post("/embed", inputs=ids, normalize=normalize, **optional)
            assert same(np.array(found, np.float32), plain), options
            if normalize:
                answer = post("/v1/embeddings", input=TEXTS, encoding_format="base64", **optional)
                rows = [base64.b64decode(row["embedding"]) for row in answer["data"]]
                assert b"".join(rows) == expected.tobytes(), options
                used = model.run(TEXTS, model.plan(prompt_name=name)).token_counts
                assert answer["usage"]["prompt_tokens"] == used.sum()
