"""Refuse a tokenizer.json that the files beside it contradict.

For a class that it knows, transformers takes only the vocabulary of tokenizer.json and builds the
rest itself; for every class, it adds the special tokens that other files name. This engine uses
tokenizer.json as it is. So both give the same ids only if the files agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.checkpoint.tokenizer_classes import (
    CLASSES,
    OF_OTHER_MODELS,
    ROLES,
    SQUARE_TOKENS,
    Section,
)
from bge_micro.checkpoint.tokenizer_sections import (
    OF_VOCAB,
    TOKENIZER_NAME,
    ends_of,
    parts_of,
    read_head,
)

CONFIG_NAME = "tokenizer_config.json"
# Where other tokens are listed.
_LISTS = ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")
# The id of an added token, and what says which parts of a text it takes.
_FACTS = ("id", "lstrip", "rstrip", "single_word", "normalized")


def check_agreement(file: Path, fields: dict[str, Any]) -> None:
    """Refuse a tokenizer whose ids would not be those that transformers gives in this folder.

    Args:
        file: tokenizer.json or vocab.txt.
        fields: Those of tokenizer_config.json, with the tokenizer's class where one is known.

    Raises:
        CheckpointError: The files contradict each other; the message names both.
    """
    if fields.get("split_special_tokens"):
        raise CheckpointError(
            f"{file.with_name(CONFIG_NAME)}: split_special_tokens is set, but not supported."
        )
    name = str(fields.get("tokenizer_class")).removesuffix("Fast")
    expected = CLASSES.get(name)
    if name in OF_OTHER_MODELS:
        raise CheckpointError(
            f"{file.with_name(CONFIG_NAME)}: the tokenizer class is {name}, which is for other "
            f"models than this engine runs; expected one of {', '.join(CLASSES)}, or "
            f"'PreTrainedTokenizerFast' to use {TOKENIZER_NAME} as it is."
        )
    roles: dict[str, Any] = {} if expected is None else dict(expected.tokens)
    more = _optional(file.with_name("special_tokens_map.json"))
    for source in (fields, more):
        roles |= {role: _content_of(source[role]) for role in ROLES if role in source}
    named = {token: f"{role} in {CONFIG_NAME}" for role, token in roles.items() if token}
    listed = _optional(file.with_name("added_tokens.json"))
    named |= dict.fromkeys(listed, "added_tokens.json")
    for source, where in ((more, "special_tokens_map.json"), (fields, CONFIG_NAME)):
        for field in _LISTS:
            named |= dict.fromkeys(_contents_of(source.get(field)), f"{field} in {where}")
    if not named:
        return
    contents = read_head(file)
    if contents is OF_VOCAB:
        _check_roles_of_vocab(file, roles)
    if expected is not None:
        for section, wanted in expected.sections.items():
            _check_section(file, name, section, contents.get(section), wanted)
        if expected.prefix_space is not None:
            prefix_space = fields.get("add_prefix_space", expected.prefix_space)
            _check_prefix_space(file, name, contents, prefix_space)
        _check_ends(file, contents, [roles.get(role) for role in expected.ends], expected.ends)
        _check_unknown(file, contents, roles["unk_token"])
    known = _known_tokens(file, contents, named)
    for token, number in listed.items():
        _check_token(file, known[token], {"id": number}, "added_tokens.json")
    decoder = fields.get("added_tokens_decoder")
    for number, token in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(token, dict) and _content_of(token) is not None:
            stated = {**token, "id": int(number) if number.isdecimal() else number}
            _check_token(file, known[token["content"]], stated, CONFIG_NAME)


def _check_roles_of_vocab(file: Path, roles: dict[str, Any]) -> None:
    """Refuse other special tokens than those that the tokenizer made from a vocab.txt has."""
    for role, token in SQUARE_TOKENS.items():
        if roles.get(role, token) != token:
            raise CheckpointError(
                f"{file}: {role} in {CONFIG_NAME} is {roles[role]!r}, but with a {file.name} only "
                f"{token!r} is supported; save the tokenizer again with transformers, which "
                f"writes a {TOKENIZER_NAME}."
            )


def _check_section(file: Path, name: str, section: str, found: Any, wanted: Section) -> None:
    """Refuse a section of another kind than the class has."""
    parts = [*parts_of(found)]
    types = [part.get("type") for part in parts]
    if section == "model" and types == [None]:  # in files of the first years
        types = list(wanted.types)
    other: Any = next((each for each in types if each not in wanted.types), None)
    missing = not wanted.optional and wanted.types[0] not in types
    if other is not None or missing:
        expects = wanted.types[0] if wanted.types else None
        raise _contradiction(file, name, f"type of its {section}", other, expects)
    for part in parts:
        for field, expects in wanted.fields:
            if part.get(field, expects) != expects:
                raise _contradiction(file, name, f"{section}.{field}", part[field], expects)


def _check_prefix_space(file: Path, name: str, contents: dict[str, Any], wanted: object) -> None:
    for part in parts_of(contents.get("pre_tokenizer")):
        # Newer files of Metaspace have prepend_scheme instead.
        found = part.get("add_prefix_space", part.get("prepend_scheme") != "never")
        if part.get("type") in ("ByteLevel", "Metaspace") and found != wanted:
            raise _contradiction(file, name, "pre_tokenizer.add_prefix_space", found, wanted)


def _check_ends(
    file: Path, contents: dict[str, Any], wanted: list[str | None], roles: tuple[str, str]
) -> None:
    """Refuse other tokens before and after a text than the class puts there."""
    found = ends_of(contents.get("post_processor"))
    if found != wanted:
        raise CheckpointError(
            f"{file}: its post_processor puts {_or_nothing(found)} around a text, but by "
            f"{CONFIG_NAME} {roles[0]} and {roles[1]} are {_or_nothing(wanted)}, which "
            "transformers takes; correct the file that is wrong."
        )


def _check_unknown(file: Path, contents: dict[str, Any], wanted: str) -> None:
    model = contents.get("model")
    found = model.get("unk_token") if isinstance(model, dict) else None
    if found is not None and found != wanted:
        raise CheckpointError(
            f"{file}: its unk_token is {found!r}, but by {CONFIG_NAME} it is {wanted!r}, which "
            "transformers takes; correct the file that is wrong."
        )


def _known_tokens(
    file: Path, contents: dict[str, Any], named: dict[str, str]
) -> dict[Any, dict[str, Any]]:
    """Return the added tokens by content; refuse a tokenizer that lacks one of the named."""
    tokens = contents.get("added_tokens")
    known = {each.get("content"): each for each in tokens or [] if isinstance(each, dict)}
    for token, where in named.items():
        if token not in known:
            raise CheckpointError(
                f"{file}: does not have the added token {token!r} of {where}; save the tokenizer "
                f"again with transformers, which writes all of them to {TOKENIZER_NAME}."
            )
    return known


def _check_token(file: Path, stored: dict[str, Any], stated: dict[str, Any], where: str) -> None:
    """Refuse an added token that another file describes otherwise."""
    for fact in _FACTS:
        found, wanted = stored.get(fact), stated.get(fact)
        if None not in (found, wanted) and found != wanted:
            raise CheckpointError(
                f"{file}: the added token {stored['content']!r} has {fact} {found!r}, but in "
                f"{where} {wanted!r}; correct the file that is wrong."
            )


def _contradiction(
    file: Path, name: str, what: str, found: object, expected: object
) -> CheckpointError:
    return CheckpointError(
        f"{file}: {what} is {found!r}, but the tokenizer class is {name}, for which transformers "
        f"takes {expected!r} whatever the file says; set tokenizer_class in {CONFIG_NAME} to "
        "'PreTrainedTokenizerFast' if the file is right."
    )


def _or_nothing(tokens: list[str | None]) -> str:
    return " and ".join("nothing" if token is None else repr(token) for token in tokens)


def _optional(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.exists() else {}


def _contents_of(tokens: Any) -> list[str]:
    """Return the texts of tokens that are given as texts or as objects with their content."""
    listed = list(tokens.values()) if isinstance(tokens, dict) else tokens
    return [text for text in map(_content_of, listed or []) if text is not None]


def _content_of(token: Any) -> str | None:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None
