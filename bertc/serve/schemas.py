"""What requests hold, as pydantic models: the fields of text-embeddings-inference, OpenAI, Cohere and infinity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = str
TokenIds = list[int]
Inputs = Annotated[
    Text | TokenIds | list[Text | TokenIds], Field(description="a text, its token ids, or a list of such")
]
Direction = Literal["Right", "Left", "right", "left"]


class Body(BaseModel):
    """Types are not converted; unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())

    model: str | None = Field(None, description="which model, where several are served")


class Truncated(Body):
    truncate: bool | None = None
    truncation_direction: Direction = "Right"


class Embed(Truncated):
    inputs: Inputs
    prompt_name: str | None = None
    normalize: bool = True
    dimensions: int | None = None


class EmbedTokens(Truncated):
    inputs: Inputs
    prompt_name: str | None = None


class Rerank(Truncated):
    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False


class Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    text: str


class RerankDocuments(Body):
    query: str
    documents: list[str | Document]
    top_n: int | None = None
    return_documents: bool = False
    raw_scores: bool = False


class Predict(Truncated):
    inputs: str | list[str] | list[list[str]] = Field(
        description="a text, a pair of texts, or a list of lists of one or two texts"
    )
    raw_scores: bool = False


class SimilarityInputs(BaseModel):
    model_config = ConfigDict(strict=True)

    source_sentence: str
    sentences: list[str]


class SimilarityParameters(BaseModel):
    model_config = ConfigDict(strict=True)

    truncate: bool | None = None
    truncation_direction: Direction = "Right"
    prompt_name: str | None = None


class Similarity(Body):
    inputs: SimilarityInputs
    parameters: SimilarityParameters | None = None


class Tokenize(Body):
    inputs: str | list[str]
    add_special_tokens: bool = True
    prompt_name: str | None = None


class Decode(Body):
    ids: list[int] | list[list[int]]
    skip_special_tokens: bool = True


class Embeddings(Body):
    input: Inputs
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None


class Classify(Body):
    input: list[str]
    raw_scores: bool = False


class Pipeline(Body):
    """What Hugging Face's clients send in an object `parameters` may be there or beside it."""

    parameters: dict[str, Any] | None = Field(None, description="any of the other fields")

    @model_validator(mode="before")
    @classmethod
    def unpack(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("parameters"), dict):
            return value
        return {**value["parameters"], **{name: item for name, item in value.items() if name != "parameters"}}


class Entities(Pipeline):
    inputs: str | list[str]
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "simple"
    ignore_labels: list[str] = ["O"]
    stride: int | None = None


class Question(BaseModel):
    model_config = ConfigDict(strict=True)

    question: str
    context: str


class Answers(Pipeline):
    inputs: Question | list[Question]
    top_k: int = 1
    max_answer_len: int = 15
    max_seq_len: int | None = None
    doc_stride: int | None = None
    handle_impossible_answer: bool = False


class Masks(Pipeline):
    inputs: str | list[str]
    top_k: int = 5
    targets: list[str] | None = None


class ZeroShot(Pipeline):
    inputs: str | list[str]
    candidate_labels: list[str] = Field(min_length=1)
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False


class Forward(Body):
    inputs: dict[str, Any] = Field(
        description="the model's arguments by name, or by place when they are called 0, 1, ...: nested lists of numbers"
    )
    outputs: list[str] | None = Field(None, description="the names of the tensors to answer with")
