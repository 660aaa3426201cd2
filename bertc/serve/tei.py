"""Routes of text-embeddings-inference."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel

from bertc.serve import errors, schemas
from bertc.serve.endpoint import Endpoint
from bertc.serve.errors import ServeError
from bertc.serve.exchange import Exchange, check_items
from bertc.serve.respond import reply_rows, tei_error
from bertc.serve.served import Served
from bertc.serve.tasks import is_ids
from bertc.text.pipelines.scores import sigmoid, softmax
from bertc.text.prompts import prepend
from bertc.text.similarity import similarity


class SparseValue(BaseModel):
    index: int
    value: float


class Rank(BaseModel):
    index: int
    score: float
    text: str | None = None


class Label(BaseModel):
    score: float
    label: str


class Token(BaseModel):
    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


def as_items(inputs: Any) -> list[Any]:
    """The items of `inputs`: one text or its ids is one item."""
    return [inputs] if isinstance(inputs, str) or is_ids(inputs) else inputs


def truncation(call: Exchange, body: Any) -> dict[str, bool]:
    """The options of a task that a body's fields say."""
    truncate = call.engine.settings.auto_truncate if body.truncate is None else body.truncate
    return {"truncate": truncate, "left": body.truncation_direction.lower() == "left"}


async def embed_items(call: Exchange, served: Served, items: list[Any], dimensions: int | None, **options: Any) -> Any:
    """float32[n, d]; ServeError for dimensions that there are not."""
    if dimensions is not None and dimensions < 1:
        raise ServeError(errors.VALIDATION, "`dimensions` should be positive")
    vectors = await call.run(served, "embed", items, truncate_dim=dimensions, **options)
    if dimensions is not None and vectors.shape[1] < dimensions:
        raise ServeError(
            errors.VALIDATION,
            f"`dimensions` should be smaller than the maximum embedding dimension: {vectors.shape[1]}",
        )
    return vectors


async def embed(call: Exchange, body: schemas.Embed) -> Any:
    """Vectors of texts"""
    vectors = await embed_items(
        call,
        call.find("embed", body.model),
        as_items(body.inputs),
        body.dimensions,
        prompt_name=body.prompt_name,
        normalize_embeddings=body.normalize,
        **truncation(call, body),
    )
    return lambda: reply_rows(vectors)


async def embed_all(call: Exchange, body: schemas.EmbedTokens) -> Any:
    """Vectors of all tokens of texts"""
    served = call.find("embed_all", body.model)
    options = {"prompt_name": body.prompt_name, **truncation(call, body)}
    arrays = await call.run(served, "embed_all", as_items(body.inputs), output_value="token_embeddings", **options)
    return lambda: reply_rows(arrays)


async def embed_sparse(call: Exchange, body: schemas.EmbedTokens) -> Any:
    """Sparse vectors of texts"""
    served = call.find("sparse", body.model)
    options = {"prompt_name": body.prompt_name, **truncation(call, body)}
    rows = await call.run(served, "sparse", as_items(body.inputs), **options)
    return lambda: [[{"index": i, "value": value} for i, value in zip(indices, values)] for indices, values in rows]


async def rank(call: Exchange, model: str | None, query: str, texts: list[str], raw: bool, **options: Any) -> Any:
    """[(index, score)] of texts, the best first."""
    served = call.find("rerank", model)
    check_items(texts, call.engine.settings.max_client_batch_size)
    logits = await call.run(served, "score", [(query, text) for text in texts], urgent=True, **options)
    scores = logits[:, 0] if raw else sigmoid(logits[:, 0])
    return [(i, scores[i]) for i in np.argsort(-scores, kind="stable").tolist()]


async def rerank(call: Exchange, body: schemas.Rerank) -> Any:
    """Texts by how well they answer a query"""
    ranked = await rank(call, body.model, body.query, body.texts, body.raw_scores, **truncation(call, body))
    texts = body.texts
    return [{"index": i, **({"text": texts[i]} if body.return_text else {}), "score": score} for i, score in ranked]


async def predict(call: Exchange, body: schemas.Predict) -> Any:
    """Labels of texts, or of pairs of texts"""
    inputs = body.inputs
    single = isinstance(inputs, str) or (bool(inputs) and isinstance(inputs[0], str))
    items = []
    for item in [inputs] if single else inputs:
        if not isinstance(item, str) and len(item) not in (1, 2):
            raise ServeError(errors.VALIDATION, f"`inputs` must have one or two texts each. Given: {len(item)}")
        items.append(item if isinstance(item, str) else item[0] if len(item) == 1 else tuple(item))
    served = call.find("score", body.model)
    logits = await call.run(served, "score", items, **truncation(call, body))
    rows = labelled(served, logits, body.raw_scores)
    return rows[0] if single else rows


def labelled(served: Served, logits: np.ndarray, raw: bool) -> list[list[dict[str, Any]]]:
    """All labels of each row, the best first: sigmoids of one label, or of several that may hold at once."""
    if not raw and served.config.get("problem_type") != "regression":
        several = served.config.get("problem_type") == "multi_label_classification"
        logits = sigmoid(logits) if several or logits.shape[1] == 1 else softmax(logits)
    orders = np.argsort(-logits, axis=1, kind="stable").tolist()
    return [[{"score": row[i], "label": served.labels[i]} for i in order] for row, order in zip(logits, orders)]


async def similarities(call: Exchange, body: schemas.Similarity) -> Any:
    """How alike a sentence is to others"""
    parameters = body.parameters or schemas.SimilarityParameters()
    sentences = body.inputs.sentences
    check_items(sentences, call.engine.settings.max_client_batch_size - 1)
    options = {"prompt_name": parameters.prompt_name, **truncation(call, parameters)}
    served = call.find("embed", body.model)
    vectors = await call.run(served, "embed", [body.inputs.source_sentence, *sentences], urgent=True, **options)
    return similarity("cosine", vectors[:1], vectors[1:])[0]


async def tokenize(call: Exchange, body: schemas.Tokenize) -> Any:
    """Tokens of texts"""
    served = call.find("tokenize", body.model)
    texts = as_items(body.inputs)
    check_items(texts, call.engine.settings.max_client_batch_size)
    prompts = getattr(served.source, "prompts", None)
    prompt = prompts.choose(body.prompt_name, None) if prompts is not None else ""
    special = body.add_special_tokens

    def tokens() -> Any:
        return [
            [
                {
                    "id": i,
                    "text": text,
                    "special": bool(s),
                    "start": None if s else span[0],
                    "stop": None if s else span[1],
                }
                for i, text, s, span in zip(e.ids, e.tokens, e.special_tokens_mask, e.offsets)
                if special or not s
            ]
            for e in served.tokenizer.encode_batch([prepend(prompt, text) for text in texts])
        ]

    return await call.aside(tokens)


async def decode(call: Exchange, body: schemas.Decode) -> Any:
    """Texts of token ids"""
    tokenizer = call.find("tokenize", body.model).tokenizer
    lists = [body.ids] if is_ids(body.ids) else body.ids
    check_items(lists, call.engine.settings.max_client_batch_size)
    wrong = next((i for ids in lists for i in ids if not 0 <= i < tokenizer.vocab_size), None)
    if wrong is not None:
        raise ServeError(errors.TOKENIZER, f"there is no token {wrong}: ids are from 0 to {tokenizer.vocab_size - 1}")
    return await call.aside(lambda: [tokenizer.decode(ids, body.skip_special_tokens) for ids in lists])


TAG = "text-embeddings-inference"
EMBED = Endpoint(("/embed",), embed, schemas.Embed, list[list[float]], tei_error, TAG)
PREDICT = Endpoint(("/predict",), predict, schemas.Predict, list[Label] | list[list[Label]], tei_error, TAG)
RERANK = Endpoint(("/rerank",), rerank, schemas.Rerank, list[Rank], tei_error, TAG)
SPARSE = Endpoint(("/embed_sparse",), embed_sparse, schemas.EmbedTokens, list[list[SparseValue]], tei_error, TAG)
ENDPOINTS = [
    EMBED,
    Endpoint(("/embed_all",), embed_all, schemas.EmbedTokens, list[list[list[float]]], tei_error, TAG),
    SPARSE,
    PREDICT,
    Endpoint(("/similarity",), similarities, schemas.Similarity, list[float], tei_error, TAG),
    Endpoint(("/tokenize",), tokenize, schemas.Tokenize, list[list[Token]], tei_error, TAG),
    Endpoint(("/decode",), decode, schemas.Decode, list[str], tei_error, TAG),
]
