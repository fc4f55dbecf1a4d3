import random
from collections import Counter
from ipaddress import ip_address

import pytest

from curation.pii import POLICIES, TYPES, Finder, Redactor, find
from curation.pii.policies import replacement
from schemas.pii import Redact

TEXT = (
    "Ada, ada@mill.com, tel +44 20 7946 0958, from 8.8.4.4 and 2001:4860::8888, card 4111 1111 "
    "1111 1111, GB82 WEST 1234 5698 7654 32, ssn 474-49-7577, at 00:1A:2b:3c:4d:5e, "
    "passport 912803456, http://ada:Turing9@mill.com/, wrote to ada@mill.com."
)
# Pieces that, put side by side, become or break what others are.
PIECES = (
    *("+44 20 7946 0958", "a@mill.com", "8.8.4.4", "::1", "2001:4860::8888", "ssn 474-49-7577"),
    *("GB82 WEST 1234 5698 7654 32", "card 4111 1111 1111 1111", "passport 912803456"),
    *("00:1A:2b:3c:4d:5e", "http://u:pw9@mill.com/", "650-253-0000", "nhs 943 476 5919"),
    *("o'hara@mill.ie", "example.com", "tel ", "call ", "1", "22", "333", "4444", "55555", "或者"),
    *("é", "x", "A", "@", " ", "", ",", "-", ".", "(", ")", "/", ":", "_", "=", "\n", "\\n"),
)


def test_stand_ins():
    (done,) = Redactor(Finder(TYPES)).redact([TEXT])
    assert done.text == (
        "Ada, email@example.com, tel +1 202-555-0100, from 192.0.2.1 and 2001:db8::1, card "
        "0000 0000 0000 0000, XX00 0000 0000 0000 0000, ssn 000-00-0000, at 00:00:5E:00:53:01, "
        "passport <US_PASSPORT>, http://user:password@mill.com/, wrote to email@example.com."
    )
    assert done.counts == Counter(span.type for span in done.spans)
    assert [TEXT[one.start : one.end] for one in done.spans[:2]] == [
        "ada@mill.com",
        "+44 20 7946 0958",
    ]


def test_policies_by_type():
    redactor = Redactor(
        Finder(frozenset({"EMAIL_ADDRESS", "IP_ADDRESS", "US_SSN"})),
        "placeholder",
        {"IP_ADDRESS": "keep", "US_SSN": "hash"},
        key=b"secret",
    )
    text = "ada@mill.com at 8.8.4.4, 474-49-7577"
    (done,) = redactor.redact([text])
    mail, rest = done.text.split(" at ")
    assert mail == "<EMAIL_ADDRESS>"
    assert rest.startswith("8.8.4.4, <US_SSN:")
    assert [one.type for one in done.spans] == ["EMAIL_ADDRESS", "IP_ADDRESS", "US_SSN"]
    assert done.counts == {"EMAIL_ADDRESS": 1, "US_SSN": 1}  # what is kept is found, not replaced


def test_a_fake_is_a_function_of_seed_and_value_and_is_nobodys():
    fakes = {
        value: replacement("EMAIL_ADDRESS", value, "fake", 7) for value in ("a@b.com", "c@b.com")
    }
    assert len(set(fakes.values())) == 2
    assert replacement("EMAIL_ADDRESS", "A@b.com", "fake", 7) == fakes["a@b.com"]
    assert replacement("EMAIL_ADDRESS", "a@b.com", "fake", 8) != fakes["a@b.com"]
    assert all(".example." not in fake and "@example." in fake for fake in fakes.values())
    assert not ip_address(replacement("IP_ADDRESS", "8.8.4.4", "fake")).is_global
    assert not ip_address(replacement("IP_ADDRESS", "2001:4860::1", "fake")).is_global
    same = {
        replacement("PHONE_NUMBER", each, "fake") for each in ("+44 20 7946 0958", "+442079460958")
    }
    assert len(same) == 1


def test_a_hash_needs_its_key_to_be_told():
    one, other = (replacement("US_SSN", "474-49-7577", "hash", key=key) for key in (b"a", b"b"))
    assert one != other
    assert one == replacement("US_SSN", "474497577", "hash", 99, b"a")
    assert not set(one) & set("0123456789")


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "keep"])
def test_redacting_again_changes_nothing(policy):
    picks = random.Random(3)
    texts = [
        "".join(picks.choice(PIECES) for _ in range(picks.randrange(1, 14))) for _ in range(1500)
    ]
    redactor = Redactor(Finder(TYPES), policy, key=b"secret")
    done = redactor.redact([TEXT, *texts])
    assert sum(map(len, (one.spans for one in done))) > 1000
    again = redactor.redact([one.text for one in done])
    assert [(a.text, b.spans) for a, b in zip(done, again, strict=True)] == [
        (b.text, []) for b in again
    ]


def test_spans_are_of_the_input():
    picks = random.Random(5)
    for _ in range(300):
        text = "".join(picks.choice(PIECES) for _ in range(12))
        (done,) = Redactor(Finder(TYPES), "placeholder").redact([text])
        at, rebuilt = 0, ""
        for one in done.spans:
            assert at <= one.start < one.end <= len(text)
            rebuilt += f"{text[at : one.start]}<{one.type}>"
            at = one.end
        assert rebuilt + text[at:] == done.text


def test_text_without_findings_is_the_same_object():
    text = "The mill turns.\r\n\x00 \ud800 é"
    (done,) = Redactor(Finder(TYPES)).redact([text])
    assert done.text is text
    assert find(text, TYPES) == []


def test_the_recipe_is_strict():
    with pytest.raises(ValueError, match="needs `key`"):
        Redact(policies={"EMAIL_ADDRESS": "hash"})
    with pytest.raises(ValueError, match="regular expression"):
        Redact(patterns=[{"type": "X", "regex": "("}])
    with pytest.raises(ValueError, match="`file` or `variable`"):
        Redact(policy="hash", key={})
    assert Redact(sources={"web": {"policy": "keep"}}).sources["web"].policy == "keep"
