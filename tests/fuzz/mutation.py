"""Edits that the targets share: of JSON, and of bytes if there is no fuzzer."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

Damage = Callable[[bytes, int], bytes]


def mutate_json(
    data: bytes,
    start: int,
    most: int,
    rng: random.Random,
    damage: Damage,
    keys: Sequence[str],
    values: Sequence[Any],
) -> bytes:
    """Damage the bytes, or put other fields and values into the JSON that begins at `start`."""
    try:
        value = json.loads(data[start:])
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, (dict, list)) or rng.random() < 0.3:
        return damage(data, most)
    for _ in range(rng.randint(1, 2)):
        edit_json(value, rng, keys, values)
    return (data[:start] + json.dumps(value).encode())[:most]


def edit_json(value: Any, rng: random.Random, keys: Sequence[str], values: Sequence[Any]) -> None:
    """Change something in an object or a list, at any depth.

    Args:
        value: The object or list, changed in place.
        rng: Where chance comes from.
        keys: What may be added to objects.
        values: What may be put in.
    """
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not places or rng.random() < 0.1:
        if isinstance(value, dict):
            value[rng.choice(keys)] = copy.deepcopy(rng.choice(values))
        else:
            value.append(copy.deepcopy(rng.choice(values)))
        return
    place = rng.choice(places)
    if isinstance(value[place], (dict, list)) and rng.random() < 0.7:
        edit_json(value[place], rng, keys, values)
    elif rng.random() < 0.2:
        del value[place]
    elif rng.random() < 0.2 and isinstance(value, list):
        value.append(copy.deepcopy(value[place]))
    else:
        value[place] = copy.deepcopy(rng.choice(values))


def damage_bytes(data: bytes, most: int, rng: random.Random) -> bytes:
    """Change, drop, add or double some bytes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        length = rng.choice([1, 1, 2, 8])
        kind = rng.randrange(4)
        if kind == 0:
            changed[at : at + length] = rng.randbytes(length)
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = rng.randbytes(length)
        else:
            changed[at:at] = changed[at : at + length]
    return bytes(changed[:most])
