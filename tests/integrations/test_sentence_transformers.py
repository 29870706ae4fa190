"""The real sentence-transformers class with this package inside, and the libraries that want it."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import bge_micro

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

import sentence_transformers
import torch

from bge_micro.integrations.sentence_transformers import Engine, SentenceTransformer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

OPTIONS: list[dict[str, Any]] = [
    {},
    {"normalize_embeddings": True},
    {"truncate_dim": 64},
    {"truncate_dim": 64, "normalize_embeddings": True},
    {"precision": "int8"},
    {"precision": "ubinary", "truncate_dim": 128},
    {"prompt": "query: "},
]


@pytest.fixture(scope="module")
def ours() -> bge_micro.SentenceTransformer:
    return bge_micro.SentenceTransformer()


@pytest.fixture
def model() -> SentenceTransformer:
    return SentenceTransformer()


def test_it_is_sentence_transformers_class(model: SentenceTransformer) -> None:
    assert isinstance(model, sentence_transformers.SentenceTransformer)
    assert isinstance(model, torch.nn.Module)
    assert model.device == torch.device("cpu")
    assert model.get_embedding_dimension() == 384
    assert model.max_seq_length == 512
    assert "int8" in repr(model)
    with pytest.raises(ValueError, match="code from a model repository is never run"):
        SentenceTransformer(trust_remote_code=True)
    with pytest.raises(TypeError, match="did you mean 'threads'"):
        SentenceTransformer(thread=1)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_vectors_have_our_bits(
    model: SentenceTransformer,
    ours: bge_micro.SentenceTransformer,
    texts: list[str],
    options: dict[str, Any],
) -> None:
    expected = ours.encode(texts, **options)
    array = model.encode(texts, **options)
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    assert array.tobytes() == expected.tobytes()
    tensor = model.encode(texts, convert_to_tensor=True, **options)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.numpy().tobytes() == expected.tobytes()
    rows = model.encode(texts, convert_to_numpy=False, **options)
    assert isinstance(rows, list)
    assert torch.stack(rows).numpy().tobytes() == expected.tobytes()
    one = model.encode(texts[0], convert_to_numpy=False, **options)
    assert one.numpy().tobytes() == model.encode(texts[0], **options).tobytes()
    assert one.numpy().tobytes() == expected[0].tobytes()


def test_results_have_their_types(model: SentenceTransformer, texts: list[str]) -> None:
    tokens = model.encode(texts, output_value="token_embeddings")
    assert [type(each) for each in tokens] == [torch.Tensor] * len(texts)
    everything = model.encode(texts[0], output_value=None)
    assert everything["sentence_embedding"].shape == (384,)
    assert torch.equal(everything["token_embeddings"], tokens[0])
    assert model.encode([], convert_to_tensor=True).shape == (0, 384)
    vectors = model.encode(texts)
    for scores in (model.similarity(vectors, vectors), model.similarity_pairwise(vectors, vectors)):
        assert isinstance(scores, torch.Tensor)


def test_settings_may_change_after_loading(
    model: SentenceTransformer, ours: bge_micro.SentenceTransformer, texts: list[str]
) -> None:
    model.prompts["query"] = "query: "
    with_prompt = ours.encode(texts, prompt="query: ").tobytes()
    assert model.encode_query(texts).tobytes() == with_prompt
    assert model.encode_document(texts).tobytes() == ours.encode(texts).tobytes()
    model.default_prompt_name = "query"
    assert model.encode(texts).tobytes() == with_prompt
    with pytest.raises(ValueError, match="prompt_name is 'other'; prompts of this model"):
        model.encode(texts, prompt_name="other")
    model.truncate_dim = 32
    assert model.get_embedding_dimension() == 32
    assert model.encode(texts).shape == (len(texts), 32)
    with model.truncate_embeddings(None):
        assert model.encode(texts).shape == (len(texts), 384)
    model.max_seq_length = 8
    assert model.engine.count_tokens(texts).used.max() == 8
    assert model.encode(texts[-1:], output_value="token_embeddings")[0].shape == (8, 384)


@pytest.mark.parametrize("prompt", [None, "query: "])
def test_the_module_alone_has_our_bits_too(
    ours: bge_micro.SentenceTransformer, texts: list[str], prompt: str | None
) -> None:
    model = sentence_transformers.SentenceTransformer(modules=[Engine(ours)], device="cpu")
    expected = ours.encode(texts, prompt=prompt)
    assert model.encode(texts, prompt=prompt).tobytes() == expected.tobytes()
    features = model(model[0].preprocess(texts, prompt))
    assert features["sentence_embedding"].numpy().tobytes() == expected.tobytes()
    for text, found, tokens in zip(
        texts,
        model.encode(texts, output_value="token_embeddings", prompt=prompt),
        ours.encode(texts, output_value="token_embeddings", prompt=prompt),
        strict=True,
    ):
        assert found.numpy().tobytes() == tokens.tobytes(), text
    assert ours.truncate_dim is None


def test_the_module_leaves_the_prompt_out_where_the_model_does(
    tmp_path: Path, texts: list[str]
) -> None:
    bge_micro.SentenceTransformer().save_pretrained(tmp_path / "model")
    pooling = tmp_path / "model" / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps(json.loads(pooling.read_text()) | {"include_prompt": False}))
    ours = bge_micro.SentenceTransformer(tmp_path / "model")
    assert not ours.include_prompt
    expected = ours.encode(texts, prompt="query: ")
    model = SentenceTransformer(tmp_path / "model")
    assert model.encode(texts, prompt="query: ").tobytes() == expected.tobytes()
    features = model(model[0].preprocess(texts, "query: "))
    assert features["sentence_embedding"].numpy().tobytes() == expected.tobytes()


def test_tokenizer_is_transformers(model: SentenceTransformer, texts: list[str]) -> None:
    found = model.tokenizer(texts, padding=True, truncation=True, return_tensors="np")
    for name, array in model.engine.tokenize(texts).items():
        if name in found:
            np.testing.assert_array_equal(found[name], array)
    assert model.tokenizer.pad_token == "[PAD]"


def test_copies(model: SentenceTransformer, texts: list[str], vectors: NDArray[np.float32]) -> None:
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.encode(texts, normalize_embeddings=True).tobytes() == vectors.tobytes()


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_a_saved_folder_loads_everywhere(
    tmp_path: Path, texts: list[str], compute_type: Any
) -> None:
    model = SentenceTransformer(compute_type=compute_type, prompts={"query": "query: "})
    model.max_seq_length = 100
    model.truncate_dim = 64
    expected = model.encode_query(texts)
    folder = str(tmp_path / "saved")
    model.save_pretrained(folder)
    for loaded in (
        SentenceTransformer(folder, compute_type=compute_type),
        bge_micro.SentenceTransformer(folder, compute_type=compute_type),
        sentence_transformers.SentenceTransformer(
            folder,
            trust_remote_code=True,
            device="cpu",
            model_kwargs={"compute_type": compute_type, "threads": 1},
        ),
    ):
        assert loaded.max_seq_length == 100
        assert loaded.encode_query(texts).tobytes() == expected.tobytes()


@pytest.fixture(scope="module")
def pool() -> Iterator[Any]:
    model = SentenceTransformer()
    pool = model.start_multi_process_pool(["cpu", "cpu"])
    yield pool
    model.stop_multi_process_pool(pool)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_pools_have_our_bits(
    model: SentenceTransformer,
    ours: bge_micro.SentenceTransformer,
    texts: list[str],
    pool: Any,
    options: dict[str, Any],
) -> None:
    expected = ours.encode(texts, **options)
    for size in (1, 4, None):
        found = model.encode(texts, pool=pool, chunk_size=size, **options)
        assert found.tobytes() == expected.tobytes()
    found = model.encode(texts[0], pool=pool, convert_to_tensor=True, **options)
    assert found.numpy().tobytes() == expected[0].tobytes()
    assert model.encode([], pool=pool, **options).shape == (0, expected.shape[1])


def test_pools_give_tokens_and_errors(
    model: SentenceTransformer, texts: list[str], pool: Any
) -> None:
    tokens = model.encode(texts, pool=pool, chunk_size=2, output_value="token_embeddings")
    for found, expected in zip(
        tokens, model.encode(texts, output_value="token_embeddings"), strict=True
    ):
        assert torch.equal(found, expected)
    with pytest.raises(ValueError, match="row 1 is None"):
        model.encode(["a", None], pool=pool)
    with pytest.raises(ValueError, match="chunk_size is 0"):
        model.encode(texts, pool=pool, chunk_size=0)
    with pytest.raises(ValueError, match="truncate_dim is 0"):
        model.encode(texts, pool=pool, truncate_dim=0)


def test_a_list_of_devices_is_a_pool(
    model: SentenceTransformer, texts: list[str], vectors: NDArray[np.float32]
) -> None:
    found = model.encode(texts, device=["cpu", "cpu"], normalize_embeddings=True)
    assert found.tobytes() == vectors.tobytes()
    with pytest.raises(ValueError, match="CPU only"):
        model.encode(texts, device=["cpu", "cuda:0"])


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.train(),
        lambda model: model.half(),
        lambda model: model.to(torch.float64),
        lambda model: model.to("meta"),
        lambda model: model.encode("a", device="cuda"),
        lambda model: model.encode("a", processing_kwargs={"text": {}}),
        lambda model: model.encode("a", batch_size=0),
    ],
)
def test_what_cannot_be_had_is_refused(model: SentenceTransformer, call: Any) -> None:
    with pytest.raises(ValueError, match=r"train|float16|float64|CPU only|processing_kwargs|batch"):
        call(model)
    assert model.to("cpu").eval().cpu().float() is model


PAIRS = [
    ("A man is playing a guitar.", "Someone plays the guitar.", 0.9),
    ("A man is playing a guitar.", "The stock market fell today.", 0.0),
    ("The cat sleeps on the sofa.", "A cat is asleep on a couch.", 1.0),
    ("The cat sleeps on the sofa.", "Dogs are running on the beach.", 0.3),
    ("It rains heavily in London.", "Heavy rain falls on London.", 0.95),
]


def test_embedding_similarity_evaluator(
    model: SentenceTransformer, ours: bge_micro.SentenceTransformer
) -> None:
    from scipy.stats import pearsonr
    from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator

    first, second, scores = map(list, zip(*PAIRS, strict=True))
    evaluator = EmbeddingSimilarityEvaluator(first, second, scores, main_similarity="cosine")
    found = model.evaluate(evaluator)
    cosines = ours.similarity_pairwise(ours.encode(first), ours.encode(second))
    assert found["pearson_cosine"] == pytest.approx(pearsonr(scores, cosines)[0], abs=1e-5)


def test_information_retrieval_evaluator(model: SentenceTransformer) -> None:
    from sentence_transformers.evaluation import InformationRetrievalEvaluator

    queries = {str(row): first for row, (first, _, score) in enumerate(PAIRS) if score > 0.5}
    corpus = {str(row): second for row, (_, second, _) in enumerate(PAIRS)}
    relevant = {row: {row} for row in queries}
    ways = {"accuracy_at_k": [1], "precision_recall_at_k": [1], "mrr_at_k": [1], "ndcg_at_k": [1]}
    evaluator = InformationRetrievalEvaluator(queries, corpus, relevant, map_at_k=[1], **ways)
    found = evaluator(model)
    assert found["cosine_accuracy@1"] == 1.0
    assert found["cosine_ndcg@1"] == 1.0


@pytest.mark.parametrize("in_pool", [False, True])
def test_mine_hard_negatives(model: SentenceTransformer, in_pool: bool) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    pairs = {"query": [pair[0] for pair in PAIRS[::2]], "answer": [pair[1] for pair in PAIRS[::2]]}
    found = sentence_transformers.util.mine_hard_negatives(
        datasets.Dataset.from_dict(pairs),
        model,
        num_negatives=1,
        verbose=False,
        use_multi_process=["cpu", "cpu"] if in_pool else False,
    )
    assert found.column_names == ["query", "answer", "negative"]
    for query, answer, negative in zip(*(found[name] for name in found.column_names), strict=True):
        assert negative in pairs["answer"]
        assert negative != answer
        assert pairs["query"].index(query) == pairs["answer"].index(answer)


def test_bertopic_and_keybert_use_it(
    model: SentenceTransformer, texts: list[str], ours: bge_micro.SentenceTransformer
) -> None:
    bertopic = pytest.importorskip("bertopic.backend._utils", reason="bertopic is not installed")
    keybert = pytest.importorskip("keybert", reason="keybert is not installed")
    backend = bertopic.select_backend(model)
    assert backend.embedding_model is model
    assert backend.embed(texts).tobytes() == ours.encode(texts).tobytes()
    words = keybert.KeyBERT(model=model)
    assert words.model.embed(texts).tobytes() == ours.encode(texts).tobytes()
    text = "Sourdough bread needs time: the baker mixes flour and water and waits for a day."
    assert "sourdough" in {word for word, _ in words.extract_keywords(text, top_n=3)}


@pytest.mark.filterwarnings("ignore")
def test_mteb_wraps_it(model: SentenceTransformer, tmp_path: Path) -> None:
    for name in ("mteb", "yaml"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    from mteb.models import SentenceTransformerEncoderWrapper

    from bench import quality
    from bge_micro.integrations.mteb import MtebEncoder

    (tmp_path / "STSBenchmark").mkdir()
    rows = [dict(zip(("sentence1", "sentence2", "score"), pair, strict=True)) for pair in PAIRS]
    data = tmp_path / "STSBenchmark" / "test.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = quality.run(MtebEncoder(), "STSBenchmark", tmp_path)
    for encoder in (model, SentenceTransformerEncoderWrapper(model)):
        assert quality.run(encoder, "STSBenchmark", tmp_path) == expected


def test_setfit_fits_a_head(model: SentenceTransformer) -> None:
    setfit = pytest.importorskip("setfit", reason="setfit is not installed")
    from sklearn.linear_model import LogisticRegression

    classifier = setfit.SetFitModel(model_body=model, model_head=LogisticRegression())
    words = ["a ship", "an anchor", "bread", "an oven"]
    classifier.fit(words, ["sea", "sea", "kitchen", "kitchen"], num_epochs=1)
    assert list(classifier.predict(["a boat", "a loaf"])) == ["sea", "kitchen"]
