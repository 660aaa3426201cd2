"""Sentences to vectors and their similarities, with bertc: the same folder or hub id, the same calls."""

from bertc import SentenceEncoder


def compare(folder: str, sentences: list[str]):
    model = SentenceEncoder(folder)
    vectors = model.encode(sentences, normalize_embeddings=True)
    return model.similarity(vectors, vectors)
