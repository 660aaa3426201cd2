"""Batcher: each kind of model, from coroutines and threads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import bertc
from bertc.serve import Batcher, Closed, Overloaded, Scheduler

pytest_plugins = ["servers"]

TEXTS = ["How many people live in Berlin?", "dog", "the dog and the cat", "rain " * 60]


def test_sentences(folders):
    encoder = bertc.SentenceEncoder(folders["embedding"], truncation="ignore")
    expected = encoder.encode(TEXTS, normalize_embeddings=True)

    async def run():
        async with Batcher(encoder, max_batch_tokens=32) as batcher:
            calls = [batcher.run(TEXTS, normalize_embeddings=True) for _ in range(20)]
            calls += [batcher.run(TEXTS[i % 4], normalize_embeddings=True, priority="query") for i in range(20)]
            return await asyncio.gather(*calls)

    results = asyncio.run(run())
    for i, result in enumerate(results):
        assert (result == (expected if i < 20 else expected[i % 4])).all()


def test_options(folders):
    encoder = bertc.SentenceEncoder(folders["embedding"], truncation="ignore")
    with Batcher(encoder) as batcher:
        found = batcher.wait(TEXTS, prompt_name="query", truncate_dim=8, precision="ubinary")
        assert (found == encoder.encode(TEXTS, prompt_name="query", truncate_dim=8, precision="ubinary")).all()
        assert batcher.wait(TEXTS[1]).shape == (32,)
        assert batcher.wait([]) == []
        with pytest.raises(bertc.serve.ServeError, match="must have less than 40 tokens. Given: 62"):
            batcher.wait(TEXTS, truncate=False)
        with pytest.raises(bertc.InputError, match="priority must be"):
            batcher.wait(TEXTS, priority="now")
        with pytest.raises(bertc.InputError, match="text 0"):
            batcher.wait([3.5])


def test_every_kind(folders):
    scheduler = Scheduler()
    texts = TEXTS[:3]
    pairs = [("berlin", text) for text in texts]
    cross = bertc.CrossEncoder(folders["reranker"])
    assert np.allclose(
        Batcher(cross, scheduler=scheduler).wait(pairs)[:, 0], cross.predict(pairs, activation_fn="Identity")
    )
    assert Batcher(cross, scheduler=scheduler).wait(("berlin", "dog")).shape == (1,)
    sparse = bertc.SparseEncoder(folders["sparse"])
    for (indices, values), row in zip(Batcher(sparse, scheduler=scheduler).wait(texts), sparse.encode(texts)):
        assert (indices == row.indices).all() and (values == row.values).all()
    ner = bertc.pipeline("ner", folders["entities"])
    assert Batcher(ner, scheduler=scheduler).wait(texts, aggregation_strategy="simple") == ner(
        texts, aggregation_strategy="simple"
    )
    with pytest.raises(bertc.InputError, match="no task for a str"):
        Batcher("model")
    with pytest.raises(bertc.InputError, match="max_requests"):
        Batcher(ner, scheduler=scheduler, max_requests=1)
    assert scheduler.close(5)


def test_bare_model(bert):
    ids = [[5, 6, 7], [8, 9], [10, 11, 12, 13]]
    items = [(one, [1] * len(one), [0] * len(one)) for one in ids]
    expected = bert.run_packed(*map(list, zip(*items)))
    with Batcher(bert) as batcher:
        for results in (batcher.wait(items), [batcher.wait(one) for one in items]):
            for ours, theirs in zip(results, expected):
                assert all((a == b).all() for a, b in zip(ours, theirs))
        arrays = dict(zip([argument.name for argument in bert.inputs], np.array(items[0])[:, None]))
        hidden, _ = batcher.wait(arrays)
        assert (hidden[0] == expected[0][0]).all()


def test_threads(folders):
    encoder = bertc.SentenceEncoder(folders["embedding"], truncation="ignore")
    expected = encoder.encode(TEXTS)
    with Batcher(encoder) as batcher, ThreadPoolExecutor(16) as pool:
        for i, result in enumerate(pool.map(lambda i: batcher.wait(TEXTS[i % 4]), range(200))):
            assert (result == expected[i % 4]).all()
    with pytest.raises(Closed):
        batcher.wait("dog")


def test_timeouts_and_cancelled_calls(folders):
    encoder = bertc.SentenceEncoder(folders["embedding"], truncation="ignore")
    many = TEXTS * 1000

    async def run():
        batcher = Batcher(encoder, max_requests=2)
        with pytest.raises((asyncio.TimeoutError, TimeoutError)):
            await batcher.run(many, timeout=0.01)
        call = asyncio.ensure_future(batcher.run(many))
        other = asyncio.ensure_future(batcher.run(many))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.run("dog")
        call.cancel()
        other.cancel()
        await asyncio.gather(call, other, return_exceptions=True)
        assert (await batcher.run("dog")).shape == (32,)
        assert await asyncio.to_thread(batcher.close, 10)

    asyncio.run(run())
