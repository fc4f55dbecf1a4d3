"""How often named languages are those that rows say, by language and by length."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from curation.language import canonical

# Bins of the characters of a text: from each number to the next.
_LENGTHS = (0, 20, 40, 80, 120, 200, 1_000, 10_000, 1 << 62)


@dataclass
class Accuracy:
    """Counts of texts by (language, bin of length): all of them, and those named rightly."""

    of: Counter[tuple[str, int]] = field(default_factory=Counter)
    right: Counter[tuple[str, int]] = field(default_factory=Counter)
    unsaid: int = 0

    def add(self, said: str | None, named: str, characters: int) -> None:
        """Count a text; codes are brought to one form, `eng_Latn` is `en`."""
        if not said:
            self.unsaid += 1
            return
        language = canonical(said)
        length = next(low for low, high in pairwise(_LENGTHS) if low <= characters < high)
        self.of[language, length] += 1
        self.right[language, length] += canonical(named) == language

    def summary(self) -> str:
        """Macro accuracy, which is the mean over languages, of all, by language and by length."""
        lines = [f"{self.unsaid:,} rows do not say theirs"] if self.unsaid else []
        shares = self._shares()
        if not shares:
            return "\n".join([*lines, "accuracy: no row says its language"])
        lines.append(f"macro accuracy {_mean(shares):.3f}, {len(shares):,} languages")
        for low, high in pairwise(_LENGTHS):
            some = self._shares(low)
            if some:
                span = f"{low:,} and more" if high == _LENGTHS[-1] else f"{low:,} to {high - 1:,}"
                texts = sum(count for (_, length), count in self.of.items() if length == low)
                lines.append(f"{_mean(some):>8.3f}  {span} characters: {texts:,} texts")
        for language, share in sorted(shares.items(), key=lambda item: (item[1], item[0])):
            texts = sum(count for (code, _), count in self.of.items() if code == language)
            lines.append(f"{share:>8.3f}  {language}: {texts:,} texts")
        return "\n".join(lines)

    def _shares(self, length: int | None = None) -> dict[str, float]:
        """The share named rightly by language, of all texts or those of a bin."""
        of: Counter[str] = Counter()
        right: Counter[str] = Counter()
        for (language, low), count in self.of.items():
            if length in (None, low):
                of[language] += count
                right[language] += self.right[language, low]
        return {language: right[language] / count for language, count in of.items()}


def _mean(shares: dict[str, float]) -> float:
    return sum(shares[code] for code in sorted(shares)) / len(shares)
