"""Mutates the archives of tests/data for a while: every outcome but a result or a bertc.Error is a bug.

`make fuzz` runs it on the AddressSanitizer build. A mutation is a function of its number, so --seed repeats one.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

import bertc

sys.path.append(str(Path(__file__).resolve().parents[1]))
import protobuf

DATA = Path(__file__).resolve().parents[1] / "data"


def mutate_bytes(data: bytes, chance: random.Random, most: int) -> bytes:
    """A few random edits: flips, interesting bytes, removed, repeated and moved pieces."""
    out = bytearray(data)
    for _ in range(chance.randint(1, most)):
        if not out:
            break
        i, size = chance.randrange(len(out)), min(chance.choice((1, 2, 4, 8, 40)), len(out))
        match chance.randrange(6):
            case 0:
                out[i] ^= 1 << chance.randrange(8)
            case 1:
                out[i : i + size] = chance.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * size
            case 2:
                del out[i : i + size]
            case 3:
                out[i:i] = out[i : i + size]
            case 4:
                j = chance.randrange(len(out))
                out[i : i + size] = out[j : j + size]
            case 5:
                out[i : i + 1] = chance.randbytes(1)
    return bytes(out)


def mutate_json(data: bytes, chance: random.Random) -> bytes:
    """A few values of the tree become others, or other values of the tree."""
    try:
        tree = json.loads(data)
    except ValueError:
        return data
    places = []
    stack = [tree]
    while stack:
        node = stack.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            stack.append(value)
    for _ in range(chance.randint(1, 3) if places else 0):
        node, key = chance.choice(places)
        other, at = chance.choice(places)
        match chance.randrange(3):
            case 0:
                node[key] = chance.choice((None, True, -1, 0, 2**62, 1.5, "", "x", [], {}, [1, 2]))
            case 1:
                node[key] = copy.deepcopy(other[at])
            case 2 if isinstance(node, list):
                node.insert(key, copy.deepcopy(node[key]))
    return json.dumps(tree).encode()


def mutate_archive(data: bytes, chance: random.Random) -> bytes:
    """Edits inside one member, with a correct zip around it."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist() if not name.endswith(".debug_pkl")}
    texts = [name for name in members if name.endswith((".py", ".pkl", ".json", "version"))]
    target = chance.choice(texts if chance.random() < 0.9 else list(members))
    by_value = target.endswith(".json") and chance.random() < 0.8
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            if name == target:
                content = mutate_json(content, chance) if by_value else mutate_bytes(content, chance, 3)
            file.writestr(name, content)
    return stream.getvalue()


def mutate_message(data: bytes, chance: random.Random, depth: int = 6) -> bytes:
    """One change somewhere down the tree of messages, whose lengths stay right."""
    try:
        fields = protobuf.split(data)
    except (IndexError, ValueError):
        return mutate_bytes(data, chance, 2)
    if not fields:
        return data
    k = chance.randrange(len(fields))
    tag, content = fields[k]
    if tag & 7 == 2 and depth and chance.random() < 0.85:
        fields[k][1] = mutate_message(content, chance, depth - 1)
        return protobuf.join(fields)
    other = chance.choice(fields)
    match chance.randrange(5):
        case 0:
            del fields[k]
        case 1:
            fields.insert(k, list(other))
        case 2 if other[0] & 7 == tag & 7:
            fields[k][1], other[1] = other[1], content
        case 3:
            fields[k][0] = chance.randrange(1, 30) << 3 | tag & 7
        case _ if tag & 7 == 0:
            fields[k][1] = chance.choice((0, 1, 2, 7, 255, 2**31, 2**63, 2**64 - 1, content + 1))
        case _:
            fields[k][1] = mutate_bytes(content, chance, 2) if tag & 7 == 2 else chance.randbytes(len(content))
    return protobuf.join(fields)


def mutate(data: bytes, chance: random.Random) -> bytes:
    blind = chance.random() < 0.2
    if not blind and zipfile.is_zipfile(io.BytesIO(data)):
        return mutate_archive(data, chance)
    if not blind and data[:1] == b"\x08":  # ONNX
        for _ in range(chance.randint(1, 3)):
            data = mutate_message(data, chance)
        return data
    return mutate_bytes(data, chance, 8)


def arguments(model: bertc.Model, chance: random.Random) -> list[np.ndarray]:
    shape = (chance.randint(0, 3), chance.randint(0, 12))
    return [
        np.array([[chance.randint(0, 40) for _ in range(shape[1])] for _ in range(shape[0])], np.int64).reshape(shape)
    ] * len(model.inputs)


def attempt(data: bytes, chance: random.Random) -> str:
    try:
        for array in bertc.load_state_dict(data).values():
            array.tobytes()
    except (bertc.Error, MemoryError) as error:
        assert str(error).strip() or isinstance(error, MemoryError)
    try:
        model = bertc.load(data)
        model(*arguments(model, chance))
        repr(model), str(model.graph), model.outputs, model.state_dict()
    except (bertc.Error, MemoryError) as error:
        assert str(error).strip() or isinstance(error, MemoryError)
        return type(error).__name__
    return "ok"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", default="", help="the files whose path has this text in it")
    parser.add_argument("--seed", type=int, help="run only this mutation")
    args = parser.parse_args()
    files = (path for path in sorted(DATA.rglob("*")) if path.suffix in (".pt", ".pt2", ".bin", ".ot", ".onnx"))
    seeds = [path.read_bytes() for path in files if args.only in str(path)]
    outcomes: dict[str, int] = {}
    number = args.seed or 0
    end = time.monotonic() + args.seconds
    while time.monotonic() < end:
        chance = random.Random(number)
        damaged = mutate(chance.choice(seeds), chance)
        print(f"mutation {number}", file=sys.stderr, end="\r", flush=True)
        start = time.monotonic()
        outcome = attempt(damaged, chance)
        assert time.monotonic() - start < 30, f"mutation {number} took too long"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        number += 1
        if args.seed is not None:
            break
    print(f"\n{number} mutations: {outcomes}")


if __name__ == "__main__":
    main()
