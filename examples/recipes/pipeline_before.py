"""Texts to labels, with a pipeline of transformers."""

from transformers import pipeline


def classify(folder: str, texts: list[str]):
    classifier = pipeline("text-classification", folder, device="cpu")
    return classifier(texts, top_k=None, truncation=True)
