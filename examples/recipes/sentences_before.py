"""Sentences to vectors and their similarities, with sentence-transformers."""

from sentence_transformers import SentenceTransformer


def compare(folder: str, sentences: list[str]):
    model = SentenceTransformer(folder, device="cpu")
    vectors = model.encode(sentences, normalize_embeddings=True)
    return model.similarity(vectors, vectors)
