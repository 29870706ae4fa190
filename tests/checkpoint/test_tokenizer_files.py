"""Case and accents as the files beside a tokenizer set them, and tokenizers of other kinds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
from st_reference import VOCAB, copy_into, same_vectors, write

from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError, MissingFileError, load_folder
from bge_micro.convert import convert_folder
from bge_micro.tokenization import build_wordpiece_tokenizer

Write = Callable[[Path, Any], None]

UNCASED = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}

CASED_VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "The", "the", "Cat", "cat", "É", "é"]
CASED_VOCAB += ["E", "e", "日", "本", "日本", "##s", "##S", ".", ",", "MAT", "mat"]
CASED_TEXTS = [
    "The Cat, the MATs.",
    "ÉE é, Cats THE 日本",
    "",
    "e\u0301 E\u0301 日 mat\x00s Σ ΑΣ. ẞ İ",
]


@pytest.fixture
def cased(plain_folder: Path, tmp_path: Path) -> Path:
    """Return a model folder without tokenizer."""
    assert len(CASED_VOCAB) == len(VOCAB)
    copy_into(plain_folder, tmp_path / "cased")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "cased" / name).unlink()
    return tmp_path / "cased"


def with_normalizer(normalizer: Any) -> dict[str, Any]:
    """Return the contents of a tokenizer.json."""
    contents: dict[str, Any] = json.loads(build_wordpiece_tokenizer(VOCAB).to_str())
    return contents | {"normalizer": normalizer}


SETTINGS: list[dict[str, Any]] = [
    {},
    {"do_lower_case": True},
    {"do_lower_case": False},
    {"do_lower_case": False, "strip_accents": True},
    {"strip_accents": False},
    {"tokenize_chinese_chars": False, "do_lower_case": False},
]
SETTING_NAMES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
CLASSES = ["BertTokenizer", "BertTokenizerFast", None]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("stored", ["vocab.txt", "cased", "uncased"])
@pytest.mark.parametrize("lower", [False, True])
def test_settings_are_obeyed_as_by_transformers(
    theirs: SimpleNamespace,
    cased: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    stored: str,
    lower: bool,
) -> None:
    if stored == "vocab.txt":
        (cased / "vocab.txt").write_text("\n".join(CASED_VOCAB) + "\n", encoding="utf-8")
    else:
        tokenizer = build_wordpiece_tokenizer(CASED_VOCAB, lowercase=stored == "uncased")
        tokenizer.save(str(cased / "tokenizer.json"))
    classes: list[dict[str, Any]] = [
        {"path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    classes += [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    entries = [{"idx": n, "name": str(n), **entry} for n, entry in enumerate(classes)]
    write(cased / "modules.json", entries)
    write(cased / "1_Pooling/config.json", {"word_embedding_dimension": 64})
    write(cased / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": lower})
    name = CLASSES[(SETTINGS.index(settings) + lower) % len(CLASSES)]
    given = settings if name is None else {**settings, "tokenizer_class": name}
    write(cased / "tokenizer_config.json", given)
    ours = same_vectors(theirs, cased, texts=CASED_TEXTS)
    vectors = ours.encode(CASED_TEXTS)
    ours.save_pretrained(tmp_path / "saved")
    again = same_vectors(theirs, tmp_path / "saved", texts=CASED_TEXTS)
    assert again.encode(CASED_TEXTS).tobytes() == vectors.tobytes()
    convert_folder(cased, tmp_path / "int8")
    int8 = SentenceTransformer(tmp_path / "int8").encode(CASED_TEXTS)
    assert int8.tobytes() == SentenceTransformer(cased).encode(CASED_TEXTS).tobytes()


def test_a_tokenizer_of_its_own_class_stands_as_it_is(theirs: SimpleNamespace, cased: Path) -> None:
    build_wordpiece_tokenizer(CASED_VOCAB, lowercase=False).save(str(cased / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}
    tokens = {"unk_token": "[UNK]", "pad_token": "[PAD]", "model_max_length": 40}
    write(cased / "tokenizer_config.json", {**config, **tokens})
    same_vectors(theirs, cased, texts=CASED_TEXTS)
    assert load_folder(cased).normalizer is None


def test_a_multilingual_tokenizer(theirs: SimpleNamespace, cased: Path, tmp_path: Path) -> None:
    """SentencePiece's tokens and names, as multilingual MiniLM and E5 use them with BERT layers."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [
        "\u2581",
        "the",
        "\u2581the",
        "ca",
        "t",
        "s",
        "\u2581mat",
        "\u00e9",
        "日",
        "本",
        "日本",
    ]
    pieces += [",", ".", "e", "a", "m", "T"]
    vocab = [(name, 0.0) for name in names]
    vocab += [(piece, -1.0 - n / 8) for n, piece in enumerate(pieces)]
    assert len(vocab) == len(VOCAB)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, unk_id=3))
    tokenizer.normalizer = tokenizers.normalizers.NFKC()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens(names)
    roles = ("cls_token", "pad_token", "sep_token", "unk_token", "mask_token")
    theirs.transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=40, **dict(zip(roles, names, strict=True))
    ).save_pretrained(cased)
    texts = ["The cats, the mat.", "é 日本 mat" * 20, "", "cat", "<mask> the"]
    calls: list[tuple[str, dict[str, Any]]] = [("encode", {}), ("encode", {"prompt": "the mat: "})]
    ours = same_vectors(theirs, cased, calls, texts)
    ours.save_pretrained(tmp_path / "saved")
    same_vectors(theirs, tmp_path / "saved", calls, texts)
    convert_folder(cased, tmp_path / "int8")


def test_nothing_is_replaced_where_nothing_differs(tiny_folder: Path, write_json: Write) -> None:
    write_json(tiny_folder / "tokenizer.json", with_normalizer(UNCASED))
    write_json(tiny_folder / "tokenizer_config.json", {"do_lower_case": True})
    write_json(tiny_folder / "sentence_bert_config.json", {"do_lower_case": True})
    assert load_folder(tiny_folder).normalizer is None
    write_json(tiny_folder / "tokenizer_config.json", {"do_lower_case": False})
    assert load_folder(tiny_folder).normalizer == UNCASED | {"strip_accents": False}
    (tiny_folder / "sentence_bert_config.json").unlink()
    assert load_folder(tiny_folder).normalizer == UNCASED | {"lowercase": False}


def test_vocab_alone(tiny_folder: Path, write_json: Write) -> None:
    (tiny_folder / "tokenizer.json").rename(tiny_folder / "vocab.txt")
    checkpoint = load_folder(tiny_folder)
    assert (checkpoint.tokenizer_file.name, checkpoint.normalizer) == ("vocab.txt", None)
    write_json(tiny_folder / "added_tokens.json", {})
    load_folder(tiny_folder)
    write_json(tiny_folder / "added_tokens.json", {"[NEW]": 10})
    with pytest.raises(CheckpointError, match=r"added token '\[NEW\]' of added_tokens\.json"):
        load_folder(tiny_folder)
    (tiny_folder / "vocab.txt").unlink()
    with pytest.raises(MissingFileError, match=r"neither tokenizer\.json nor vocab\.txt"):
        load_folder(tiny_folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [*itertools.product(SETTING_NAMES, (1, "true", [], {}))],
)
def test_settings_that_are_none(
    tiny_folder: Path, write_json: Write, name: str, value: Any
) -> None:
    write_json(tiny_folder / "tokenizer.json", with_normalizer(UNCASED))
    write_json(tiny_folder / "tokenizer_config.json", {name: value})
    with pytest.raises(CheckpointError, match=rf"tokenizer_config\.json: {name} is"):
        load_folder(tiny_folder)


def test_lowercasing_that_cannot_be_added(tiny_folder: Path, write_json: Write) -> None:
    write_json(tiny_folder / "sentence_bert_config.json", {"do_lower_case": True})
    lower = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    for normalizer in (lower, {"type": "Lowercase"}, {"lowercase": True}):
        write_json(tiny_folder / "tokenizer.json", with_normalizer(normalizer))
        assert load_folder(tiny_folder).normalizer is None
    for other in (None, {"type": "NFC"}, {"type": "Sequence", "normalizers": 3}, {"lowercase": 0}):
        write_json(tiny_folder / "tokenizer.json", with_normalizer(other))
        with pytest.raises(CheckpointError, match="keeps upper case"):
            load_folder(tiny_folder)


def test_a_large_tokenizer_is_read_and_converted(tiny_folder: Path, tmp_path: Path) -> None:
    """Tokenizers of a hundred languages have 17 MB."""
    tokenizer = json.loads(build_wordpiece_tokenizer(VOCAB).to_str())
    text = json.dumps(tokenizer).replace("{", "{" + " " * 17_000_000, 1)
    (tiny_folder / "tokenizer.json").write_text(text)
    (tiny_folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    found = json.loads(
        convert_folder(tiny_folder, tmp_path / "out").joinpath("tokenizer.json").read_bytes()
    )
    assert found == tokenizer | {"normalizer": UNCASED | {"lowercase": False}}


SPECIAL_TOKEN = {"content": "[NEW]", "special": True}


@pytest.mark.parametrize("file", ["vocab.txt", "tokenizer.json"])
@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("added_tokens.json", {"[NEW]": len(VOCAB)}),
        ("special_tokens_map.json", {"additional_special_tokens": ["[NEW]"]}),
        ("tokenizer_config.json", {"added_tokens_decoder": {str(len(VOCAB)): SPECIAL_TOKEN}}),
        ("tokenizer_config.json", {"additional_special_tokens": ["[NEW]", "[CLS]"]}),
        ("tokenizer_config.json", {"extra_special_tokens": [SPECIAL_TOKEN]}),
        ("tokenizer_config.json", {"extra_special_tokens": {"new_token": "[NEW]"}}),
    ],
)
def test_tokens_that_only_other_files_name(
    tiny_folder: Path, write_json: Write, file: str, name: str, contents: Any
) -> None:
    """transformers cuts them out of a text; a tokenizer that does not know them splits them."""
    tokenizer = build_wordpiece_tokenizer(VOCAB)
    (tiny_folder / "tokenizer.json").unlink()
    (tiny_folder / "vocab.txt").write_text("\n".join(VOCAB))
    if file == "tokenizer.json":
        tokenizer.save(str(tiny_folder / file))
    write_json(tiny_folder / name, contents)
    with pytest.raises(CheckpointError, match=rf"added token '\[NEW\]' of .*{name}"):
        load_folder(tiny_folder)
    tokenizer.add_special_tokens(["[NEW]"])
    tokenizer.save(str(tiny_folder / "tokenizer.json"))
    load_folder(tiny_folder)


@pytest.mark.parametrize(
    "name", ["BertJapaneseTokenizer", "RobertaTokenizer", "PreTrainedTokenizerFast", "Unheard"]
)
def test_vocab_of_another_class(tiny_folder: Path, write_json: Write, name: str) -> None:
    (tiny_folder / "tokenizer.json").rename(tiny_folder / "vocab.txt")
    for classes in ({"tokenizer_class": name}, {}):
        write_json(tiny_folder / "tokenizer_config.json", classes)
        settings = {} if classes else {"tokenizer_args": {"tokenizer_class": name}}
        write_json(tiny_folder / "sentence_bert_config.json", settings)
        with pytest.raises(CheckpointError, match=f"tokenizer_class is '{name}'"):
            load_folder(tiny_folder)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", {"type": "BPE"}),
        ("model", {"type": "Unigram"}),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("normalizer", {"type": "NFC"}),
    ],
)
def test_a_class_that_contradicts_the_tokenizer(
    tiny_folder: Path, write_json: Write, part: str, value: Any
) -> None:
    """For BERT's class transformers builds BERT's tokenizer, whatever tokenizer.json says."""
    contents = json.loads(build_wordpiece_tokenizer(VOCAB).to_str())
    write_json(tiny_folder / "tokenizer.json", contents | {part: value})
    write_json(tiny_folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    with pytest.raises(CheckpointError, match=f"type of its {part} is '{value['type']}'"):
        load_folder(tiny_folder)
    write_json(
        tiny_folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"}
    )
    load_folder(tiny_folder)


@pytest.mark.parametrize("name", ["tokenizer_args", "processor_kwargs"])
def test_arguments_of_the_tokenizer(tiny_folder: Path, write_json: Write, name: str) -> None:
    """They come before tokenizer_config.json, as sentence-transformers passes them."""
    write_json(tiny_folder / "tokenizer.json", with_normalizer(UNCASED))
    write_json(tiny_folder / "tokenizer_config.json", {"model_max_length": 15})
    given = {"do_lower_case": False, "model_max_length": 9, "use_fast": True}
    write_json(tiny_folder / "sentence_bert_config.json", {name: given})
    checkpoint = load_folder(tiny_folder)
    assert checkpoint.normalizer == UNCASED | {"lowercase": False}
    assert checkpoint.max_seq_length == 9
    write_json(tiny_folder / "sentence_bert_config.json", {name: {"never_split": ["a"]}})
    with pytest.raises(CheckpointError, match="argument never_split"):
        load_folder(tiny_folder)
    write_json(tiny_folder / "sentence_bert_config.json", {"do_lower_case": None})
    write_json(tiny_folder / "tokenizer_config.json", {"truncation_side": "left"})
    with pytest.raises(CheckpointError, match="truncation_side is 'left'"):
        load_folder(tiny_folder)
