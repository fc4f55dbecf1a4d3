import subprocess
import sys


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_personal_data_are_replaced_without_torch():
    code = """
import sys
from curation.pii import replace
replace("a@mill.com", ["EMAIL_ADDRESS"])
print("torch" in sys.modules)
import torch
print(torch.ones(2).sum().item())
"""
    assert run(code) == ["False", "2.0"]


def test_a_loaded_torch_stays():
    code = """
import torch
from curation.imports import without_torch
with without_torch():
    import torch as again
print(again is torch)
"""
    assert run(code) == ["True"]


def test_names_of_kinds_do_not_load_presidio():
    code = "import sys, curation.pii; print('presidio_analyzer' in sys.modules)"
    assert run(code) == ["False"]


def test_spacys_rules_are_the_same_without_the_rest_of_spacy():
    code = """
import sys
from curation.imports import only_spacys_rules

def rules():
    with only_spacys_rules():
        from spacy.lang.en.punctuation import TOKENIZER_INFIXES as infixes
        from spacy.lang.en.tokenizer_exceptions import TOKENIZER_EXCEPTIONS as special
        from spacy.lang.punctuation import TOKENIZER_PREFIXES as prefixes
        from spacy.lang.punctuation import TOKENIZER_SUFFIXES as suffixes
        from spacy.lang.tokenizer_exceptions import URL_MATCH as url
        from spacy.symbols import ORTH
    words = [(case, [word[ORTH] for word in words]) for case, words in special.items()]
    return words, url, prefixes, suffixes, infixes

words, url, *affixes = rules()
print(any(name.startswith(("spacy", "thinc")) for name in sys.modules))
import spacy
from spacy.lang.en import English
from spacy.symbols import ORTH
real = English.Defaults
special = real.tokenizer_exceptions.items()
cases = [(case, [word[ORTH] for word in words]) for case, words in special]
print(words == cases == rules()[0], url.__self__.pattern == real.url_match.__self__.pattern)
print(affixes == [list(real.prefixes), list(real.suffixes), list(real.infixes)])
print(len(spacy.blank("en")("We don't.")))
"""
    assert run(code) == ["False", "True", "True", "True", "4"]
