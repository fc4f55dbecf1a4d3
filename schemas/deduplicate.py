"""`deduplicate`: what counts as a duplicate, and which copy stays."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas.base import Contract, Fraction, Name


class Near(Contract):
    """MinHash LSH over shingles: `bands` x `rows` permutations.

    Shingles are of the normalised text: case folded, diacritics removed, every digit 0, what is
    no letter or number a blank. A text shorter than a shingle is one shingle as a whole, so it
    is a duplicate of the texts that are equal to it then.
    """

    bands: int = Field(14, ge=1, le=1000, description="Bands; a pair is a candidate if one agrees.")
    rows: int = Field(8, ge=1, le=1000, description="Hash values a band.")
    shingle_words: int = Field(5, ge=1, le=50, description="Words in a shingle.")
    shingle_characters: int | None = Field(
        None, ge=1, le=200, description="Characters in a shingle, instead of words."
    )
    seed: int = Field(1, ge=0, lt=1 << 32, description="Seed of the permutations.")
    verify: Fraction = Field(0.7, description="Least Jaccard similarity of an edge.")
    verify_by: Literal["signatures", "shingles"] = Field(
        "signatures",
        description="Estimate the similarity by the signatures, or compute it from the shingles, "
        "for which the texts of all candidates are read again.",
    )
    rounds: int = Field(
        4,
        ge=1,
        description="How often the leaves of a bucket that fail get another hub; those that are "
        "left then are compared within narrower bands.",
    )
    max_bucket: int = Field(
        10_000, ge=2, description="A bucket with more members is divided by the next band."
    )


# Parameters as their publications give them.
NEAR = {
    "fineweb": Near(),
    "refinedweb": Near(bands=450, rows=20, verify=0.8),
    "redpajama": Near(bands=9, rows=13, shingle_words=13, verify=0.8),
    "nemo": Near(bands=20, rows=13, shingle_characters=24, verify=0.8),
}
NearPreset = Literal["fineweb", "refinedweb", "redpajama", "nemo"]


def _preset(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in NEAR:
        raise ValueError(f"`{value}` is not known; one of {', '.join(NEAR)}, or a mapping")
    return NEAR[value]


# What `keep` may be besides a signal.
ORDERS = ("newest", "longest", "oldest", "smallest_id")


def _keep(value: str) -> str:
    if value in ORDERS or "." in value:
        return value
    raise ValueError(
        f"`{value}` is none of 'newest', 'longest', 'oldest' or 'smallest_id', nor the name of a "
        "signal, such as 'fineweb.line_punct_ratio'"
    )


class Bloom(Contract):
    """Lines whose n-grams stand in earlier documents, by a Bloom filter, as DCLM's BFF does.

    Documents are taken in the order of preference, within groups of parts whose n-grams fit the
    filter: what a group repeats of another one is not found. A line that is cut is one with a
    share of its n-grams in the filter; a document with as many of all its n-grams is cut whole.
    Lines with fewer words than an n-gram stay.
    """

    words: int = Field(13, ge=1, le=100, description="Words in an n-gram.")
    share: float = Field(0.8, gt=0, le=1, description="N-grams that were seen, of all in a line.")
    false_share: float = Field(
        0.01, gt=0, le=0.5, description="N-grams, of those that are new, that are taken for seen."
    )
    memory: int = Field(
        1 << 30,
        ge=64,
        description="Bytes of a filter at most, to the power of two below; a task has one.",
    )


class Substring(Contract):
    """Runs of tokens that stand in an earlier document, or earlier in the same, exactly.

    A token is what stands between white space, as it is written; in the scripts without spaces, a
    character. Found within groups of parts that fit the memory: what a group repeats of another
    one is not found.
    """

    tokens: int = Field(50, ge=2, le=1000, description="Tokens of the shortest run.")
    memory: int = Field(
        4 << 30, ge=1, description="Bytes that a task takes, at some 40 bytes a token."
    )


class Spans(Contract):
    """Spans that repeat in what is left of the documents, all looked for in the same text.

    Of equal spans the first stays, in the order in which `keep` and `prefer` choose documents,
    then in the order of the text. Lines, paragraphs and sentences are equal if their words are:
    case, diacritics, digits and punctuation make no difference. What of it `curate` cuts, see
    `least_words` there.
    """

    lines: bool = Field(False, description="Cut repeated lines, as C4 and CCNet do.")
    paragraphs: bool = Field(False, description="Cut repeated paragraphs, parted by blank lines.")
    sentences: int | None = Field(
        None, ge=1, le=100, description="Cut repeated runs of so many sentences; C4 and FineWeb: 3."
    )
    bloom: Bloom | None = Field(None, description="Cut lines whose n-grams repeat; `{}` for DCLM.")
    substring: Substring | None = Field(
        None, description="Cut repeated runs of tokens; `{}` for runs of 50."
    )

    def levels(self) -> list[str]:
        """Those that are asked for, in order."""
        return [name for name in Spans.model_fields if getattr(self, name)]


class Deduplicate(Contract):
    """Levels of duplicates, one after the other; one document is kept of each cluster."""

    scope: Literal["global", "source", "snapshot"] = Field(
        "global", description="Within what duplicates are looked for."
    )
    url: Literal["newest", "best"] | None = Field(
        None,
        description="Keep one page of each normalised URL: the newest capture, or what `keep` "
        "says; null keeps all.",
    )
    exact: bool = Field(True, description="Remove documents whose text has an equal digest.")
    normalised: bool = Field(
        False, description="Remove documents whose normalised text has an equal digest."
    )
    near: Annotated[
        Near | None,
        BeforeValidator(_preset, json_schema_input_type=Near | NearPreset | None),
    ] = Field(
        Near(), description="Remove near duplicates: parameters by name or number; null for none."
    )
    keep: Annotated[str, AfterValidator(_keep)] = Field(
        "longest",
        description="Which document of a cluster is kept: `longest`, `oldest`, `newest`, "
        "`smallest_id`, or by the name of a signal, such as `fineweb.line_punct_ratio`, the one "
        "that has most of it. Ties go to the smallest digest of the text, then to the smallest id.",
    )
    prefer: tuple[Name, ...] = Field(
        (), max_length=200, description="Sources whose documents are kept before any other's."
    )
    against: tuple[str, ...] = Field(
        (),
        description="Folders of finished runs: what they hold is removed here. Their "
        "`deduplicate` must have `index: true`, and the same scope and parameters of `near`.",
    )
    index: bool = Field(
        False,
        description="Keep the signatures of what is left a second time, as an index: later runs "
        "name this one in `against`. At 14 x 8 it takes some 380 bytes a document.",
    )
    spans: Spans = Field(Spans(), description="Which spans of the documents that are left are cut.")

    @model_validator(mode="after")
    def _against_can_be_compared(self) -> Self:
        if self.against and self.scope == "snapshot":
            raise ValueError(
                "with `scope: snapshot` nothing of another run is a duplicate: for `against` give "
                "`scope: global` or `source`"
            )
        if self.against and self.near is not None and self.near.verify_by == "shingles":
            raise ValueError(
                "`against` names runs that keep signatures, no texts: give `near.verify_by: "
                "signatures`"
            )
        return self
