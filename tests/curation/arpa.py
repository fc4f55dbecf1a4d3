"""A small language model for KenLM: bigrams with absolute discounting, in ARPA's format."""

import math
from collections import Counter
from itertools import pairwise

DISCOUNT = 0.5


def arpa(lines):
    """The model of lines of words.

    A bigram seen has the probability (c - d) / c(first), and what is taken is shared by words as
    frequent as they are; so is what words never seen get. Ney, Essen and Kneser 1994.
    """
    sentences = [["<s>", *line.split(), "</s>"] for line in lines]
    words = Counter(word for sentence in sentences for word in sentence[1:])
    pairs = Counter(pair for each in sentences for pair in pairwise(each))
    firsts, followers = Counter(), Counter()
    for (first, _), count in pairs.items():
        firsts[first] += count
        followers[first] += 1
    total = words.total()
    kept = {word: (count - DISCOUNT) / total for word, count in words.items()}
    kept["<unk>"] = DISCOUNT * len(words) / total

    def backoff(first):
        taken = DISCOUNT * followers[first] / firsts[first]
        seen = sum(kept[second] for one, second in pairs if one == first)
        return math.log10(taken / (1 - seen))

    unigrams = [("<s>", -99.0), *((word, math.log10(share)) for word, share in kept.items())]
    out = ["\\data\\", f"ngram 1={len(unigrams)}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    out += [
        f"{share:.6f}\t{word}" + (f"\t{backoff(word):.6f}" if word in firsts else "")
        for word, share in unigrams
    ]
    out += ["", "\\2-grams:"]
    for (first, second), count in pairs.items():
        out.append(f"{math.log10((count - DISCOUNT) / firsts[first]):.6f}\t{first} {second}")
    return "\n".join([*out, "", "\\end\\", ""])
