"""Tokenizer: the tokenizers library, set up once and never changed afterwards, so that threads can share it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from bertc._core import FormatError, InputError
from bertc.text.directory import Directory

try:
    from tokenizers import Encoding, models, normalizers, processors
    from tokenizers import Tokenizer as Backend
except ImportError as error:
    raise ImportError(f"text needs the tokenizers library: pip install bertc[text] ({error})") from error

Strategy = Literal["longest_first", "only_first", "only_second"]
STRATEGIES = ("longest_first", "only_first", "only_second")
SPECIAL = ("cls_token", "sep_token", "mask_token", "pad_token", "unk_token", "bos_token", "eos_token")
_SECOND = processors.TemplateProcessing(single="$A:1")  # windows of a pair keep the type ids from before
_SPACED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")  # before clean-up
NO_LIMIT = 10**9  # transformers writes 1e30 where a tokenizer has none


class Tokenizer:
    """Text to token ids. Nothing of it changes after it is made: any number of threads may use one.

    The library's own truncation and padding are switched off, and its post-processor is taken off and applied here, so
    that a text is tokenized once whatever it is cut to.
    """

    def __init__(self, backend: Backend, directory: Directory | None = None) -> None:
        """``backend`` is changed, and must be this object's alone; ``directory`` has what the backend does not say."""
        directory = directory or Directory.empty()
        config = directory.tokenizer_config
        self.processor = backend.post_processor or processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1")
        backend.post_processor = None
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        self.max_length = directory.max_length
        is_bpe = isinstance(backend.model, models.BPE)  # whose decoder gives the text as it was
        self._tidies = bool(config.get("clean_up_tokenization_spaces")) and not is_bpe
        self.truncation_side: str = "left" if config.get("truncation_side") == "left" else "right"
        self._special = {name: directory.special_token(name) or self._guess(name) for name in SPECIAL}

    @classmethod
    def from_directory(cls, path: Any, lowercase: bool = False) -> Tokenizer:
        """Of a Directory or the path of one, with tokenizer.json, vocab.txt, or vocab.json and merges.txt.

        The path of a tokenizer.json is taken too. ``lowercase`` texts before all else. Raises FormatError when a file
        is damaged or none of them is there.
        """
        from bertc.text.vocabulary import make_backend

        directory = path if isinstance(path, Directory) else Directory.of_file(path)
        backend = _read_backend(directory) if directory.has("tokenizer.json") else make_backend(directory)
        if lowercase:
            first = [normalizers.Lowercase()]
            backend.normalizer = normalizers.Sequence(first + ([backend.normalizer] if backend.normalizer else []))
        return cls(backend, directory)

    @classmethod
    def of(cls, source: Any, lowercase: bool = False) -> Tokenizer:
        """Of what from_directory takes, or of a Tokenizer, a tokenizers.Tokenizer, or a fast one of transformers."""
        if isinstance(source, Tokenizer):
            return source
        backend = getattr(source, "backend_tokenizer", source)
        if not isinstance(backend, Backend):
            return cls.from_directory(source, lowercase)
        tokenizer = cls(Backend.from_str(backend.to_str()))
        length = getattr(source, "model_max_length", None)
        tokenizer.max_length = length if isinstance(length, int) and length < NO_LIMIT else None
        for name in SPECIAL:
            token = getattr(source, name, None)
            tokenizer._special[name] = str(token) if token else tokenizer._special[name]
        return tokenizer

    def encode(self, text: Any, **options: Any) -> Encoding:
        """encode_batch of one text."""
        return self.encode_batch([text], **options)[0]

    def encode_batch(
        self,
        texts: Sequence[Any],
        *,
        max_length: int | None = None,
        strategy: Strategy = "longest_first",
        stride: int = 0,
        offsets: bool = True,
        is_pretokenized: bool = False,
        first_index: int = 0,
    ) -> list[Encoding]:
        """Each text, or pair of texts, as ids with special tokens, cut to ``max_length`` of them; None cuts nothing.

        ``overflowing`` of a result has the rest as further windows, each ``stride`` tokens into the one before: a text
        was cut if and only if there are some. ``strategy`` says which text of a pair is cut; if both are, the windows
        are of the second one. ``offsets=False`` leaves offsets at zero and is faster. With ``is_pretokenized`` a text
        is a list of words, a pair a tuple of two lists. Errors count the texts from ``first_index``.
        """
        kind = list if is_pretokenized else str
        pairs = [_as_pair(text, i, kind) for i, text in enumerate(texts, first_index)]
        firsts = self._encode_base([first for first, _ in pairs], offsets, is_pretokenized)
        seconds = iter(self._encode_base([s for _, s in pairs if s is not None], offsets, is_pretokenized))
        results = []
        for first, (_, text) in zip(firsts, pairs):
            second = None if text is None else next(seconds)
            if max_length is not None:
                first, second = self._cut(first, second, max_length, strategy, stride)
            results.append(self.processor.process(first, second))
        return results

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of ids."""
        text = self.backend.decode([int(i) for i in ids], skip_special_tokens=skip_special_tokens)
        for spaced in _SPACED if self._tidies else ():
            text = text.replace(spaced, spaced.strip())
        return text

    def special_count(self, pair: bool = False) -> int:
        """How many special tokens a text, or a pair of them, gets."""
        return self.processor.num_special_tokens_to_add(pair)

    def token_to_id(self, token: str) -> int | None:
        return self.backend.token_to_id(token)

    def id_to_token(self, id: int) -> str | None:
        return self.backend.id_to_token(int(id))

    @property
    def vocab_size(self) -> int:
        """The number of tokens, added ones included."""
        return self.backend.get_vocab_size()

    def __getattr__(self, name: str) -> Any:
        """cls_token, mask_token_id and the like: None where the tokenizer has no such token."""
        special: dict[str, str | None] = self.__dict__.get("_special", {})
        if name in special:
            return special[name]
        if name.endswith("_id") and name[:-3] in special:
            token = special[name[:-3]]
            return None if token is None else self.token_to_id(token)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        limit = "" if self.max_length is None else f", at most {self.max_length} a text"
        return f"<bertc.text.Tokenizer: {type(self.backend.model).__name__}, {self.vocab_size} tokens{limit}>"

    def _guess(self, name: str) -> str | None:
        word = name.partition("_")[0]
        names = {"cls": ["[CLS]", "<s>"], "sep": ["[SEP]", "</s>"]}.get(word, [f"[{word.upper()}]", f"<{word}>"])
        return next((token for token in names if self.backend.token_to_id(token) is not None), None)

    def _encode_base(self, texts: list[Any], offsets: bool, is_pretokenized: bool) -> list[Encoding]:
        """Without special tokens; one text alone without the library's threads, which a process cannot fork with."""
        if not texts:
            return []
        options = {"is_pretokenized": is_pretokenized, "add_special_tokens": False}
        if len(texts) == 1:
            return [self.backend.encode(texts[0], **options)]
        return (self.backend.encode_batch if offsets else self.backend.encode_batch_fast)(texts, **options)

    def _cut(
        self, first: Encoding, second: Encoding | None, max_length: int, strategy: Strategy, stride: int
    ) -> tuple[Encoding, Encoding | None]:
        room = max_length - self.special_count(second is not None)
        excess = len(first) + (0 if second is None else len(second)) - room
        if excess <= 0:
            return first, second
        if strategy not in STRATEGIES:
            raise InputError(f"strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}")
        if room < 1:
            raise InputError(f"max_length is {max_length}, but the special tokens alone are {max_length - room}")
        if second is None:
            self._truncate(first, room, stride)
            return first, None
        if strategy == "longest_first":
            lengths = _share(len(first), len(second), room)
        elif strategy == "only_first":
            lengths = room - len(second), len(second)
        else:
            lengths = len(first), room - len(first)
        if min(lengths) < 1 and strategy != "longest_first":
            raise InputError(
                f"max_length is {max_length}, which cutting the {strategy[5:]} text of a pair cannot reach: "
                f"the other one alone has {max(lengths)} tokens"
            )
        self._truncate(first, lengths[0], stride)
        if lengths[1] < len(second):
            if first.overflowing:
                first = _without_rest(first)
            second = _SECOND.process(second)
            self._truncate(second, lengths[1], stride)
        return first, second

    def _truncate(self, encoding: Encoding, length: int, stride: int) -> None:
        if length >= len(encoding):
            return
        if not 0 <= stride < max(length, 1):
            raise InputError(f"stride must be from 0 to {length - 1}, as a window has {length} tokens; got {stride}")
        encoding.truncate(length, stride, self.truncation_side)


def _without_rest(encoding: Encoding) -> Encoding:
    """The encoding of a cut text alone. With its windows, a pair would have all their combinations with the other's."""
    state = json.loads(encoding.__getstate__())
    result = Encoding()
    result.__setstate__(json.dumps({**state, "overflowing": []}).encode())
    return result


def _read_backend(directory: Directory) -> Backend:
    file = directory.file("tokenizer.json")
    try:
        return Backend.from_file(str(file))
    except Exception as error:  # the library raises nothing more precise
        raise FormatError(f"{file}: no tokenizer that this version of tokenizers reads: {error}") from error


def _share(first: int, second: int, room: int) -> tuple[int, int]:
    """The lengths of a pair cut by turns at the end of the longer text, as the tokenizers library rounds them."""
    shorter, longer = sorted((first, second))
    longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = room - shorter
    return (longer, shorter) if first > second else (shorter, longer)


def _as_pair(text: Any, index: int, kind: type) -> tuple[Any, Any]:
    if isinstance(text, kind):
        return text, None
    if isinstance(text, (tuple, list)) and len(text) == 2 and all(isinstance(part, kind) for part in text):
        return text[0], text[1]
    expected = "a list of words or a tuple of two" if kind is list else "a str or a pair of them"
    shown = repr(text)
    raise InputError(f"text {index}: expected {expected}, got a {type(text).__name__}: {shown[:60]}")
