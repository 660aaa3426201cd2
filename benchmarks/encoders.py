"""Texts to vectors with the real MiniLM, an engine a class: one of them in a process of its own, driven by encode.py.

{"load": engine, "threads": n}   {"version": ..., "seconds": ...}
{"count": texts, "calls": n}     {"times": [...], "outside": [...], "rss_mb": peak so far}
{..., "save": path}              the same, and the vectors are written there

"outside" is the part of the processor time that is not the model's, where the engine can tell, on one thread.
"""

import importlib
import importlib.metadata
import json
import os
import resource
import sys
import time

import models
import numpy as np
import texts

BATCH = 32
MAX_LENGTH = 256  # MiniLM's


class Bertc:
    package = "bertc"

    def __init__(self, threads):
        import bertc

        self.encoder = bertc.SentenceEncoder(models.minilm_folder(), threads=threads, truncation="ignore")
        self.core = self.encoder.model._core = Stopwatch(self.encoder.model._core)

    def encode(self, sentences):
        self.core.seconds = 0.0
        start = time.process_time()
        vectors = self.encoder.encode(sentences)
        return vectors, 1 - self.core.seconds / (time.process_time() - start)


class Stopwatch:
    """The core of a bertc.Model, and the processor time of this thread in its calls."""

    def __init__(self, core):
        self.core = core
        self.seconds = 0.0

    def __getattr__(self, name):
        return getattr(self.core, name)

    def run_packed(self, *args):
        start = time.thread_time()
        result = self.core.run_packed(*args)
        self.seconds += time.thread_time() - start
        return result


class SentenceTransformers:
    package = "sentence_transformers"

    def __init__(self, threads):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self.model = SentenceTransformer(str(models.minilm_folder()), device="cpu")

    def encode(self, sentences):
        return self.model.encode(sentences), None


class Sorted:
    """What people write around an engine: the same tokenizer, batches of texts of similar length, pooling in NumPy."""

    def __init__(self):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(models.minilm_folder() / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_LENGTH)
        self.tokenizer.no_padding()

    def encode(self, sentences):
        encodings = self.tokenizer.encode_batch_fast(sentences)
        order = sorted(range(len(encodings)), key=lambda i: -len(encodings[i]))
        vectors = np.empty((len(sentences), 384), np.float32)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            length = len(encodings[rows[0]])
            ids, mask = np.zeros((len(rows), length), np.int64), np.zeros((len(rows), length), np.int64)
            for i, row in enumerate(rows):
                own = encodings[row].ids
                ids[i, : len(own)] = own
                mask[i, : len(own)] = 1
            hidden = self.run(ids, mask)
            weights = mask[:, :, None].astype(np.float32)
            mean = (hidden * weights).sum(1) / weights.sum(1)
            vectors[rows] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return vectors, None


class OnnxRuntime(Sorted):
    package = "onnxruntime"

    def __init__(self, threads):
        super().__init__()
        engine = importlib.import_module("engines.onnxruntime")
        self.model = engine.load(str(models.path("minilm", engine.FILE)), threads)

    def run(self, ids, mask):
        return self.model(ids, mask, np.zeros_like(ids))[0]


class CTranslate2(OnnxRuntime):
    package = "ctranslate2"

    def __init__(self, threads):
        Sorted.__init__(self)
        engine = importlib.import_module("engines.ctranslate2")
        self.model = engine.load(str(models.path("minilm", engine.FILE)), threads)


ENGINES = {
    "bertc": Bertc,
    "sentence-transformers": SentenceTransformers,
    "onnxruntime": OnnxRuntime,
    "ctranslate2": CTranslate2,
}


def measure(engine, count, calls, save=None):
    sentences = texts.sentences(count)
    times, outside = [], []
    for _ in range(calls):
        start = time.perf_counter()
        vectors, part = engine.encode(sentences)
        times.append(time.perf_counter() - start)
        outside.append(part)
    if save:
        np.save(save, vectors)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"times": times, "outside": outside, "rss_mb": rss}


def main():
    replies = os.fdopen(os.dup(1), "w")  # engines that print do so to stderr
    os.dup2(2, 1)
    engine = None
    for line in sys.stdin:
        order = json.loads(line)
        if "load" in order:
            kind, start = ENGINES[order["load"]], time.perf_counter()
            engine = kind(order["threads"])
            version = importlib.metadata.version(kind.package)
            answer = {"version": version, "seconds": time.perf_counter() - start}
        else:
            answer = measure(engine, **order)
        print(json.dumps(answer), file=replies, flush=True)


if __name__ == "__main__":
    main()
