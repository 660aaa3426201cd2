"""Texts to labels, with bertc: the same folder or hub id, the same task, the same result."""

from bertc import pipeline


def classify(folder: str, texts: list[str]):
    classifier = pipeline("text-classification", folder)
    return classifier(texts, top_k=None, truncation=True)
