"""Tokenizers of directories that have vocabularies and no tokenizer.json."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from bertc._core import FormatError, UnsupportedError
from bertc.text.directory import Directory

_BERT = {
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
_ROBERTA = {
    "cls_token": "<s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
# What a model's tokenizer in transformers says where its directory is silent.
_SPECIAL = {"mpnet": {**_ROBERTA, "unk_token": "[UNK]"}, "roberta": _ROBERTA, "longformer": _ROBERTA}


def make_backend(directory: Directory) -> Tokenizer:
    """Of vocab.txt (WordPiece), or of vocab.json and merges.txt (bytes); FormatError when there is neither."""
    try:
        if directory.has("vocab.txt"):
            return _word_piece(directory)
        if directory.has("vocab.json") and directory.has("merges.txt"):
            return _byte_pairs(directory)
    except (FormatError, UnsupportedError):
        raise
    except Exception as error:  # the library raises nothing more precise
        raise FormatError(f"{directory.path}: its vocabulary makes no tokenizer: {error}") from error
    for name in filter(directory.has, ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")):
        raise UnsupportedError(
            f"{directory.file(name)}: a sentencepiece model without tokenizer.json; make that once with transformers: "
            "AutoTokenizer.from_pretrained(directory).save_pretrained(directory)"
        )
    raise FormatError(f"{directory.path}: no tokenizer.json, vocab.txt, or vocab.json and merges.txt in it")


def _word_piece(directory: Directory) -> Tokenizer:
    config = directory.tokenizer_config
    special = _special_tokens(directory, _BERT)
    tokenizer = Tokenizer(models.WordPiece.from_file(str(directory.file("vocab.txt")), unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    _add_tokens(tokenizer, directory, special)
    tokenizer.post_processor = _template(tokenizer, special)
    return tokenizer


def _byte_pairs(directory: Directory) -> Tokenizer:
    prefix_space = bool(directory.tokenizer_config.get("add_prefix_space", False))
    special = _special_tokens(directory, _BERT if directory.config.get("model_type") == "deberta" else _ROBERTA)
    tokenizer = Tokenizer(models.BPE.from_file(str(directory.file("vocab.json")), str(directory.file("merges.txt"))))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    _add_tokens(tokenizer, directory, special)
    if special["cls_token"] == _BERT["cls_token"]:
        tokenizer.post_processor = _template(tokenizer, special)
    else:
        sep, cls = _with_id(tokenizer, special["sep_token"]), _with_id(tokenizer, special["cls_token"])
        tokenizer.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=prefix_space)
    return tokenizer


def _template(tokenizer: Tokenizer, special: dict[str, str]) -> Any:
    cls, sep = special["cls_token"], special["sep_token"]
    middle = f"{sep}:0 {sep}:0" if cls == _ROBERTA["cls_token"] else f"{sep}:0"
    return processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {middle} $B:1 {sep}:1",
        special_tokens=[_with_id(tokenizer, cls), _with_id(tokenizer, sep)],
    )


def _special_tokens(directory: Directory, default: dict[str, str]) -> dict[str, str]:
    default = _SPECIAL.get(directory.config.get("model_type", ""), default)
    return {name: directory.special_token(name) or token for name, token in default.items()}


def _with_id(tokenizer: Tokenizer, token: str) -> tuple[str, int]:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise FormatError(f"its vocabulary lacks {token!r}")
    return token, number


def _add_tokens(tokenizer: Tokenizer, directory: Directory, special: dict[str, str]) -> None:
    """The special tokens, and those of added_tokens.json, which must continue the vocabulary."""
    added = directory.json("added_tokens.json")
    for token, number in sorted(added.items(), key=lambda item: item[1]):
        if token in special.values() or tokenizer.token_to_id(token) is not None:
            continue
        tokenizer.add_tokens([AddedToken(token, normalized=False)])
        if tokenizer.token_to_id(token) != number:
            raise FormatError(f"{directory.file('added_tokens.json')}: {token!r} cannot have the id {number}")
    known = [token for token in special.values() if tokenizer.token_to_id(token) is not None]
    roberta = special["mask_token"] == _ROBERTA["mask_token"]
    tokenizer.add_special_tokens(
        [AddedToken(t, lstrip=roberta and t == special["mask_token"], normalized=False) for t in known]
    )
