"""`CrossEncoder`: options, results, errors, and the same bits whichever way it is called."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import CheckpointError, CrossEncoder, SentenceTransformer
from bge_micro.checkpoint import ModelWarning
from family_models import KINDS, family_weights, head_weights, write_family_folder
from family_models import write_reranker_folder as write_folder

KIND = KINDS["bert"]
_TYPES: tuple[Any, ...] = ("int8", "float32")
PAIRS = [(f"w{n}", " ".join(f"w{n * m % 50}" for m in range(n))) for n in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a reranker of one label."""
    path = tmp_path_factory.mktemp("reranker")
    write_folder(path, KIND, family_weights(KIND), head_weights(KIND, 1))
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a classifier of three labels."""
    path = tmp_path_factory.mktemp("labelled")
    names = {"0": "contradiction", "1": "entailment", "2": "neutral"}
    write_folder(path, KIND, family_weights(KIND), head_weights(KIND, 3), id2label=names)
    return path


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


@pytest.mark.parametrize("compute_type", _TYPES)
def test_same_bits_alone_in_any_batch_and_order(folder: Path, compute_type: Any) -> None:
    model = CrossEncoder(folder, compute_type=compute_type)
    together = model.predict(PAIRS)
    assert together.dtype == np.float32
    assert together.shape == (40,)
    alone = np.array([model.predict(pair) for pair in PAIRS])
    assert alone.tobytes() == together.tobytes()
    assert model.predict(PAIRS[::-1], threads=1)[::-1].tobytes() == together.tobytes()
    assert model.predict(PAIRS * 20, threads=3).tobytes() == together.tobytes() * 20
    assert asyncio.run(model.apredict(PAIRS)).tobytes() == together.tobytes()
    for twin in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.predict(PAIRS).tobytes() == together.tobytes()


@pytest.mark.parametrize("isa", ["scalar", "sse41", "avx2"])
def test_same_bits_on_every_instruction_set(
    folder: Path, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.isas import SUPPORTED

    if isa not in SUPPORTED:
        pytest.skip(f"this CPU has no {isa}")
    expected = [CrossEncoder(folder, compute_type=kind).predict(PAIRS) for kind in _TYPES]
    monkeypatch.setenv("BGE_MICRO_ISA", isa)
    for kind, wanted in zip(_TYPES, expected, strict=True):
        model = CrossEncoder(folder, compute_type=kind)
        assert model.isa == isa
        assert model.predict(PAIRS).tobytes() == wanted.tobytes()


def test_the_order_of_a_pair_matters(folder: Path) -> None:
    model = CrossEncoder(folder)
    assert model.predict(("w1", "w2 w3")) != model.predict(("w2 w3", "w1"))


def test_forms_of_inputs_and_results(folder: Path) -> None:
    model = CrossEncoder(folder)
    expected = model.predict(PAIRS)
    for same in (tuple(PAIRS), [list(pair) for pair in PAIRS], np.array(PAIRS)):
        assert model.predict(same).tobytes() == expected.tobytes()
    assert model.predict(sentences=PAIRS).tobytes() == expected.tobytes()
    assert model.predict(PAIRS, batch_size=3).tobytes() == expected.tobytes()
    assert model.predict(PAIRS, convert_to_numpy=False) == list(expected)
    single = model.predict(["w1", "w2"])
    assert isinstance(single, np.float32)
    assert model.predict([]).shape == (0,)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("w1", "inputs is a str, expected a pair"),
        ([("w1", "w2"), "w3"], "1 of 2 rows are not pairs of strings: row 1 is a str"),
        ([("w1", "w2"), ("w1",)], "row 1 is a tuple of str"),
        ([("w1", None)], "row 0 is a tuple of str, NoneType"),
        (["w1", "w2", "w3"], r"inputs is a list of str, str, str"),
        ({("w1", "w2")}, "inputs is a set"),
    ],
)
def test_rows_that_are_no_pairs(folder: Path, inputs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        CrossEncoder(folder).predict(inputs)


def test_activations(folder: Path) -> None:
    logits = CrossEncoder(folder, activation_fn="identity").predict(PAIRS)
    usual = CrossEncoder(folder)
    assert usual.activation_fn == "sigmoid"
    np.testing.assert_allclose(usual.predict(PAIRS), sigmoid(logits), rtol=1e-6)
    assert usual.predict(PAIRS, activation_fn="identity").tobytes() == logits.tobytes()
    doubled = usual.predict(PAIRS, activation_fn=lambda rows: rows * 2)
    assert doubled.tobytes() == (logits * 2).tobytes()
    with pytest.raises(ValueError, match="activation_fn is 'swish', expected one of identity"):
        usual.predict(PAIRS, activation_fn="swish")
    with pytest.raises(ValueError, match=r"turned logits of shape \(40, 1\) into \(3,\)"):
        usual.predict(PAIRS, activation_fn=lambda rows: rows[:3, 0])
    with pytest.raises(TypeError, match="activation_fn is 3"):
        CrossEncoder(folder, activation_fn=3)  # type: ignore[arg-type]


_TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
IDENTITY = "torch.nn.modules.linear.Identity"
SIGMOID = "torch.nn.modules.activation.Sigmoid"


@pytest.mark.parametrize(
    ("config", "settings", "expected"),
    [
        ({"sbert_ce_default_activation_function": IDENTITY}, None, "identity"),
        ({"sbert_ce_default_activation_function": None}, None, "sigmoid"),
        (
            {"sentence_transformers": {"activation_fn": IDENTITY, "version": "4.0.1"}},
            None,
            "identity",
        ),
        ({"sentence_transformers": {"version": "4.0.1"}}, None, "sigmoid"),
        ({}, {"model_type": "CrossEncoder", "activation_fn": IDENTITY}, "identity"),
        (
            {"sentence_transformers": {"activation_fn": IDENTITY}},
            {"model_type": "CrossEncoder", "activation_fn": SIGMOID},
            "sigmoid",
        ),
    ],
)
def test_the_activation_of_the_files(
    config: dict[str, Any], settings: dict[str, Any] | None, expected: str, tmp_path: Path
) -> None:
    write_folder(tmp_path, KIND, family_weights(KIND), head_weights(KIND, 1), **config)
    if settings:
        (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(settings))
        module = {"idx": 0, "name": "0", "path": "", "type": _TRANSFORMER}
        (tmp_path / "modules.json").write_text(json.dumps([module]))
    assert CrossEncoder(tmp_path).activation_fn == expected


def test_an_activation_that_is_not_known(tmp_path: Path) -> None:
    named = {"activation_fn": "my.package.Scale"}
    parts = family_weights(KIND), head_weights(KIND, 1)
    write_folder(tmp_path, KIND, *parts, sentence_transformers=named)
    with pytest.raises(CheckpointError, match=r"activation is 'my\.package\.Scale', but only"):
        CrossEncoder(tmp_path)
    assert CrossEncoder(tmp_path, activation_fn="sigmoid").predict(PAIRS).shape == (40,)


def test_several_labels(labelled: Path) -> None:
    model = CrossEncoder(labelled)
    assert model.num_labels == 3
    assert model.labels == ("contradiction", "entailment", "neutral")
    logits = model.predict(PAIRS)
    assert model.activation_fn == "identity"
    assert logits.shape == (40, 3)
    shares = model.predict(PAIRS, apply_softmax=True)
    powers = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(shares, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)
    assert model.predict(PAIRS[0]).tobytes() == logits[0].tobytes()
    with pytest.raises(ValueError, match="rank needs a model with one label, but this one has 3"):
        model.rank("w1", ["w2"])
    with pytest.raises(ValueError, match="num_labels is 2, but the model's classifier has 3"):
        CrossEncoder(labelled, num_labels=2)


def test_rank(folder: Path) -> None:
    model = CrossEncoder(folder)
    texts = [text for _, text in PAIRS]
    scores = model.predict([("w5", text) for text in texts])
    ranked = model.rank("w5", texts, return_documents=True)
    assert [each["score"] for each in ranked] == sorted(scores.tolist(), reverse=True)
    for each in ranked:
        assert each["score"] == float(scores[each["corpus_id"]])
        assert each["text"] == texts[each["corpus_id"]]
    assert model.rank("w5", texts, 3) == [
        {"corpus_id": each["corpus_id"], "score": each["score"]} for each in ranked[:3]
    ]
    equal = model.rank("w5", ["w1", "w2", "w1", "w1"])
    assert [each["corpus_id"] for each in equal if each["corpus_id"] != 1] == [0, 2, 3]
    assert model.rank("w5", []) == []
    assert asyncio.run(model.arank("w5", texts, top_k=3)) == model.rank("w5", texts, 3)
    with pytest.raises(TypeError, match="documents is a str"):
        model.rank("w5", "w6")
    with pytest.raises(TypeError, match="query is a int"):
        model.rank(5, texts)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="top_k is 0"):
        model.rank("w5", texts, top_k=0)


def test_the_limit(folder: Path) -> None:
    model = CrossEncoder(folder, max_length=10)
    assert model.max_length == model.max_seq_length == 10
    pairs = [("w1", "w2 " * 6), ("w1", "w2 " * 7), ("w1 " * 9, "w2 " * 9)]
    use = model.count_tokens(pairs)
    assert use.used.tolist() == [10, 10, 10]
    assert use.truncated.tolist() == [False, True, True]
    assert model.predict(pairs[1]) == model.predict(("w1", "w2 " * 6))
    assert model.predict(pairs[2]) == model.predict(("w1 " * 3, "w2 " * 4))
    with pytest.raises(ValueError, match=r"2 texts have more than 10 tokens .*rows 1, 2"):
        model.predict(pairs, truncation="error")
    with pytest.raises(ValueError, match="limit is 4; expected at least 5"):
        model.max_length = 4
    with pytest.raises(ValueError, match="max_seq_length is 49, but the model has 48 positions"):
        CrossEncoder(folder, max_length=49)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "query: "}, "put the text before the query"),
        ({"device": "cuda"}, "runs on the CPU only"),
        ({"pool": {}}, "use threads="),
        ({"apply_sofmax": True}, "did you mean 'apply_softmax'"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_options_that_are_refused(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossEncoder(folder).predict(PAIRS, **options)


def test_keywords_of_the_constructor_that_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="CrossEncoder got an unknown keyword argument 'max_len'"):
        CrossEncoder(folder, max_len=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="trust_remote_code=True is not supported"):
        CrossEncoder(folder, trust_remote_code=True)  # type: ignore[arg-type]


def test_an_encoder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    write_family_folder(tmp_path, KIND, family_weights(KIND))
    with pytest.raises(CheckpointError, match=r"'bert.pooler.dense.weight' is missing, so this is"):
        CrossEncoder(tmp_path)
    with pytest.raises(CheckpointError, match=r"load it with bge_micro\.SentenceTransformer"):
        CrossEncoder("bge-micro-v2")


def test_a_reranker_given_to_the_other_class_names_this_one(tmp_path: Path) -> None:
    architectures = ["BertForSequenceClassification"]
    parts = family_weights(KIND), head_weights(KIND, 1)
    write_folder(tmp_path, KIND, *parts, architectures=architectures)
    with pytest.warns(ModelWarning, match="If it is a reranker, CrossEncoder loads it"):
        SentenceTransformer(tmp_path)
    settings = {"model_type": "CrossEncoder"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=r"load it with bge_micro\.CrossEncoder"):
        SentenceTransformer(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classifier.weight": np.zeros((2, 63), "f4")}, "expected F32 or F16 or BF16 of shape"),
        ({"classifier.weight": np.zeros(64, "f4")}, r"shape is \[64\], expected \[labels, 64\]"),
        ({"classifier.bias": np.full(1, np.nan, "f4")}, "holds NaN or infinity"),
    ],
)
def test_damaged_classifiers(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_folder(tmp_path, KIND, family_weights(KIND), head_weights(KIND, 1) | change)
    with pytest.raises(CheckpointError, match=message):
        CrossEncoder(tmp_path)


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    parts = family_weights(KIND), head_weights(KIND, 1)
    write_folder(tmp_path, KIND, *parts, id2label={"0": "a", "1": "b"})
    with pytest.raises(CheckpointError, match="but the classifier has 1 outputs"):
        CrossEncoder(tmp_path)


def test_an_export_named_as_sentence_transformers_does(folder: Path) -> None:
    named: dict[str, Any] = {"model_kwargs": {"file_name": "other.onnx"}, "backend": "onnx"}
    with pytest.raises(FileNotFoundError, match=r"other\.onnx"):
        CrossEncoder(folder, **named)
