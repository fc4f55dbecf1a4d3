"""The language of a text, by a fastText model such as lid.176."""

from __future__ import annotations

from pathlib import Path

from fasttext_pybind import fasttext

from schemas.errors import UserError

_LABEL = "__label__"
UNDETERMINED = "und"  # ISO 639-2


class Languages:
    """A language model."""

    def __init__(self, model_path: str | Path) -> None:
        """Load the model. Raises UserError if the file is not a fastText model.

        fastText does not notice a file that is cut short: give its checksum in the recipe.
        """
        # The module `fasttext` fails on NumPy 2 and warns on every load; this is what it wraps.
        self._model = fasttext()
        try:
            self._model.loadModel(str(model_path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise UserError(f"{model_path}: not a fastText model: {error}") from None

    def identify(self, texts: list[str]) -> list[tuple[str, float]]:
        """Name the language of each text: its code, as the model has it, and a score in [0, 1].

        A text without a word is ("und", 0.0). Line breaks count as spaces, as in FineWeb.
        """
        lines = [text.replace("\n", " ") for text in texts]
        known = [at for at, line in enumerate(lines) if line.strip()]
        found = [(UNDETERMINED, 0.0)] * len(lines)
        if known:
            labels, scores = self._model.multilinePredict(
                [lines[at] + "\n" for at in known], 1, 0.0, "strict"
            )
            for at, label, score in zip(known, labels, scores, strict=True):
                if label:
                    found[at] = (label[0].removeprefix(_LABEL), min(1.0, float(score[0])))
        return found
