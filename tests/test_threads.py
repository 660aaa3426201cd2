"""One model, many threads: the same bits as one by one."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import DATA, same

import bertc

SHAPES = [(1, 1), (1, 9), (2, 33), (3, 17), (5, 9), (2, 64)]


def requests():
    chance = np.random.default_rng(1)
    for shape in SHAPES:
        ids = chance.integers(3, 60, shape)
        yield ids, np.ones_like(ids), np.zeros_like(ids)


def test_sixteen_threads_give_the_same_bits(bert):
    work = list(requests())
    expected = [bert(*request) for request in work]
    start = threading.Barrier(16)

    def caller(number):
        start.wait()
        return all(
            same(bert(*work[i]), expected[i])
            for turn in range(5)
            for i in np.random.default_rng([number, turn]).permutation(len(work))
        )

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(caller, range(16)))


def test_threads_load_and_describe_at_once(bert_path, bert, inputs):
    expected = bert(*inputs)
    shared = bertc.load(bert_path)

    def caller(number):
        model = bertc.load(bert_path) if number % 2 else shared
        return same(model(*inputs), expected) and str(model.graph) and model.outputs and len(model.state_dict())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(caller, range(16)))


def test_errors_stay_with_their_thread(bert, inputs):
    expected = bert(*inputs)
    wrong = (inputs[0] + 10**6, *inputs[1:])

    def caller(number):
        if number % 2:
            return same(bert(*inputs), expected)
        with pytest.raises(bertc.InputError, match="input_ids"):
            bert(*wrong)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(caller, range(64)))


def test_number_of_threads_does_not_change_a_bit():
    path = DATA / "traced" / "hf523-bert.sdpa.pt"
    models = [bertc.load(path, threads=threads) for threads in (1, 2, 5)]
    for request in requests():
        first, *others = [model(*request) for model in models]
        assert all(same(first, other) for other in others)


@pytest.mark.skipif(os.environ.get("BERTC_SANITIZER") == "tsan", reason="TSan does not follow fork with threads")
def test_fork(bert, inputs):
    expected = bert(*inputs)
    child = os.fork()
    if child == 0:
        os._exit(0 if same(bert(*inputs), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert same(bert(*inputs), expected)
