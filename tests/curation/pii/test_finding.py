import gzip
import json
import re
import socket
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from curation.pii import STAND_INS, TYPES, Finder, Pattern, find, replace
from tests.timing import within

REPORTED = Path(__file__).resolve().parents[2] / "data/pii/reported.jsonl"
# What the labelled texts and the reported cases hold.
COMMON = frozenset(
    ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS")
)
DEFAULT = ("EMAIL_ADDRESS", "IP_ADDRESS")


def test_replace():
    text = (
        "Write to Ada.Miller+flour@mill-house.co.uk, or log in at 41.176.181.243 as «x@mühle.de»."
    )
    assert replace(text, DEFAULT) == (
        "Write to email@example.com, or log in at 192.0.2.1 as «email@example.com».",
        {"EMAIL_ADDRESS": 2, "IP_ADDRESS": 1},
    )
    assert replace(text, ("IP_ADDRESS",))[1] == {"IP_ADDRESS": 1}
    assert replace(text, ()) == (text, {})


def values(text, types=TYPES):
    return [(one.type, text[one.start : one.end]) for one in find(text, types)]


def cases():
    with REPORTED.open(encoding="utf-8") as lines:
        return [pytest.param(row, id=row["id"]) for row in map(json.loads, lines)]


@pytest.mark.parametrize("row", cases())
def test_what_was_reported_of_others(row):
    assert values(row["text"], COMMON) == [tuple(each) for each in row["expected"]]


@pytest.mark.parametrize(
    "filler", ["北岛渡轮早上七点开出，", '{"k":1,"v":[0,2,4]},', "a", "1 ", "x.", "-"]
)
@pytest.mark.parametrize("at", [1980, 1990, 2000, 19_999])
def test_no_length_of_text_before_it_loses_or_halves_a_finding(filler, at):
    before = (filler * at)[:at]
    for value in ("anna@mill.com", "8.8.4.4", "4111 1111 1111 1111", "+49 30 23125 014"):
        text = f'{before}"{value}"{filler * 50}'
        assert value in [found for _, found in values(text, COMMON)]


@pytest.mark.parametrize(
    "text",
    [
        "1381 W. Hubbard, Chicago, IL 60622 {} Tel Email",
        "phone Springfield 62704 {}",
    ],
)
@pytest.mark.parametrize("number", ["312-666-2372", "(312) 666-2372"])
def test_a_zip_code_is_no_part_of_the_number_behind_it(text, number):
    assert values(text.format(number)) == [("PHONE_NUMBER", number)]
    assert values(text.format("312-555-0142")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # letters of any script may touch it
        ("почта:иванanna@mill.ruили", ["anna@mill.ru"]),
        ("เขียนถึงanna@mill.co.thครับ", ["anna@mill.co.th"]),
        ("写信给用户@例子.中国或者", ["写信给用户@例子.中国"]),
        ("Пишите на иван@пример.рф сегодня", ["иван@пример.рф"]),
        # what stands beside it does not go
        ("{'mail': 'anna@mill.com'}", ["anna@mill.com"]),
        (
            "**anna@mill.com**, _bob@mill.org_, `cy@mill.net`",
            "anna@mill.com bob@mill.org cy@mill.net",
        ),
        ("mailto:%20anna@mill.com?subject=x", ["anna@mill.com"]),
        (r"to:\nanna@mill.com\u003cbob@mill.org", ["anna@mill.com", "bob@mill.org"]),
        ("...anna.b@mill.com...", ["anna.b@mill.com"]),
        ("anna@mill.com-Anna", ["anna@mill.com"]),
        ("anna@mill.comThe next", ["anna@mill.com"]),
        ("// anna@mill.com, //bob@mill.com", ["anna@mill.com", "bob@mill.com"]),
        ("<anna@mill.com>;a|bob@sub.mill.co.uk|", ["anna@mill.com", "bob@sub.mill.co.uk"]),
        ("anna@163.com and x@mill.com(work)", ["anna@163.com", "x@mill.com"]),
        # `@` is an operator, stands before versions, and before hosts of files
        ("rsync -a out/ anna@host.mill.com:backup/out", []),
        ("scp x.pdf anna@host.mill.com:", []),
        ("ssh -p 22 anna@host.mill.com", []),
        ("git+ssh://git@mill.com/acme/x.git, hg@mill.com", []),
        ("C = self.w@self.h.to(dev); q@k.mT; A@B.id", []),
        ("uses: actions/checkout@v4.io/x, lodash@4.17.21, icon@2x.ai", []),
        ("android.@internal.R.id, this.@ref.To", []),
        ("ftp://anna@mill.com/x", []),
    ],
)
def test_mail(text, found):
    found = found.split() if isinstance(found, str) else found
    assert [value for _, value in values(text, ("EMAIL_ADDRESS",))] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Pinging dns.google [8.8.8.8] with 32 bytes", ["8.8.8.8"]),
        ("root@8.8.4.4, http://8.8.4.4:80/x and //8.8.4.4/y", ["8.8.4.4"] * 3),
        ("range 8.8.4.4-8.8.4.10", ["8.8.4.4", "8.8.4.10"]),
        ("8.8.4.4 - - [10/Oct/2000:13:55:36 -0700]", ["8.8.4.4"]),
        ("адрес8.8.4.4и", ["8.8.4.4"]),
        ("64:ff9b::8.8.4.4 is 8.8.4.4", ["64:ff9b::8.8.4.4", "8.8.4.4"]),
        ("[2a00:1450:4001:81b::200e]:443", ["2a00:1450:4001:81b::200e"]),
        ("4f8a:c99e:dc86:faf9:5988:5f63:375e:8a2a", ["4f8a:c99e:dc86:faf9:5988:5f63:375e:8a2a"]),
        ("::ffff:192.168.1.20, ::ffff:10.0.0.1, 224.0.0.251", []),
        ("Chrome/1.2.3.4 libfoo-1.2.3.4.tar.gz pkg==1.2.3.4 v1.2.3.4 1.2.3.4-beta2", []),
        ("Version: 8.5.1.2, 版本8.5.1.2, Kapitel 4.1.2.3, firmware 9.0.0.1", []),
        ("Proposition 12.1.1.5 and Theorem 4.1.2.3", []),
        ("4.2.1.3 The mill\n4.2.1.4 The flour", []),
        ("00:11:22:33:44:55:66:77, 10:20:30, 300.1.2.3, 1.2.3.4.5.6", []),
        ("MyClass::begin, a::b::c, ::std, 1::2", []),
    ],
)
def test_addresses_of_hosts(text, found):
    assert [value for _, value in values(text, ("IP_ADDRESS",))] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Tel.: 030 1234567, Fax 030/1234568", ["030 1234567", "030/1234568"]),
        ("电话010-62345678请", ["010-62345678"]),
        ("Téléphone : 01 42 68 53 00", ["01 42 68 53 00"]),
        ("(415) 861-5449 and 1-800-273-8255", ["(415) 861-5449", "1-800-273-8255"]),
        ("+49 (0)9546-9223-20 or (+44) 20 7946 0958", ["+49 (0)9546-9223-20", "+44) 20 7946 0958"]),
        ("call 650-253-0000 or 650.253.0001 24/7", ["650-253-0000", "650.253.0001"]),
        ("mobile: 07700 900123", ["07700 900123"]),
        ("lines 421-422, in 1727.682, (1830–1842), $1,200,300, 3.14159265", []),
        (r"=} +61785824936 \cos (8 \pi x)+4954285000 \cos", []),
        ("call 192.168.1.20, call 8.8.4.4, phone 2024-01-15", []),
        ("order number 12345678, license number is 425700624", []),
        ("call +1 202-555-0143", []),
        ("10 20 30 40 50 60, 100 200 300 400 500", []),
    ],
)
def test_telephones(text, found):
    assert [value for _, value in values(text, ("PHONE_NUMBER",))] == found


@pytest.mark.parametrize(
    ("text", "type_", "found"),
    [
        ("card 501864667909", "CREDIT_CARD", ["501864667909"]),
        ("id 501864667909, 0.4111111111111111, 4111111111111112", "CREDIT_CARD", []),
        (
            "3782 822463 10005, 4111-1111-1111-1111 12/25",
            "CREDIT_CARD",
            ["3782 822463 10005", "4111-1111-1111-1111"],
        ),
        (
            "gb42nawi04454264788619 und GB82 WEST 1234 5698 7654 32 bitte",
            "IBAN_CODE",
            ["gb42nawi04454264788619", "GB82 WEST 1234 5698 7654 32"],
        ),
        ("GB82 WEST 1234 5698 7654 33, FR76 1234", "IBAN_CODE", []),
        (
            "474-49-7577, 900-12-3456, 000-12-3456, SSN 474497577",
            "US_SSN",
            ["474-49-7577", "474497577"],
        ),
        (
            "00:1A:2b:3c:4d:5e 00-1A-2b-3c-4d-5e 001a.2b3c.4d5e",
            "MAC_ADDRESS",
            ["00:1A:2b:3c:4d:5e", "00-1A-2b-3c-4d-5e", "001a.2b3c.4d5e"],
        ),
        ("ff:ff:ff:ff:ff:ff 00:00:5e:00:53:07 00:11:22:33:44:55:66:77", "MAC_ADDRESS", []),
        ("postgres://ada:Turing9@db.mill.com/x", "URL_CREDENTIALS", ["ada:Turing9"]),
        (
            "http://user:password@mill.com ftp://${U}:${P}@x https://a:b1@example.com/",
            "URL_CREDENTIALS",
            [],
        ),
        (
            "密钥ghp_16C7e42F292c6912E7710c838347Ae178B4a。",
            "API_KEY",
            ["ghp_16C7e42F292c6912E7710c838347Ae178B4a"],
        ),
        ("AKIAIOSFODNN7EXAMPLE ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx sk-learn", "API_KEY", []),
        (
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa, bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "CRYPTO",
            ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"],
        ),
        (
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb, bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "CRYPTO",
            [],
        ),
        ("My NHS number is 943 476 5919.", "UK_NHS", ["943 476 5919"]),
        ("call 943 476 5919 at nine o'clock; the NHS 943 476 5918", "UK_NHS", []),
        ("passport number 912803456", "US_PASSPORT", ["912803456"]),
        ("codice fiscale: RSSMRA85M01H501Z", "IT_FISCAL_CODE", ["RSSMRA85M01H501Z"]),
        ("DNI 12345678Z, DNI 12345678A", "ES_NIF", ["12345678Z"]),
        ("PESEL44051401359, 44051401358", "PL_PESEL", []),
        ("PESEL: 44051401359", "PL_PESEL", ["44051401359"]),
        ("외국인등록번호는 900101-5234567입니다", "KR_FRN", ["900101-5234567"]),
    ],
)
def test_numbers_and_keys(text, type_, found):
    assert [value for _, value in values(text, (type_,))] == found


def test_a_private_key_goes_as_a_block():
    block = (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MvX\n"
        "-----END RSA PRIVATE KEY-----"
    )
    assert values(f"key: {block}\n-----BEGIN PUBLIC KEY-----", ("PRIVATE_KEY",)) == [
        ("PRIVATE_KEY", block)
    ]


def test_types_of_a_users_own():
    pattern = Pattern("MEMBER", re.compile(r"M-\d{4}"), ("member",))
    finder = Finder(frozenset({"EMAIL_ADDRESS"}), [pattern])
    text = "Member M-1234, part M-9999" + " " * 80 + "M-1111 a@mill.com"
    (spans,) = finder.find([text])
    assert [text[one.start : one.end] for one in spans] == ["M-1234", "M-9999", "a@mill.com"]


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("call +1 650 253 0000 now", "PHONE_NUMBER", "+1 650 253 0000"),
        ("card 4111 1111 1111 1111.", "CREDIT_CARD", "4111 1111 1111 1111"),
        ("to DE89 3704 0044 0532 0130 00 please", "IBAN_CODE", "DE89 3704 0044 0532 0130 00"),
        ("ssn 474-49-7577", "US_SSN", "474-49-7577"),
        ("from 2a00:1450:4001:81b::200e at noon", "IP_ADDRESS", "2a00:1450:4001:81b::200e"),
        ("mail flour@mill.com.The next day", "EMAIL_ADDRESS", "flour@mill.com"),
    ],
)
def test_every_kind(text, kind, found):
    (finding,) = find(text, (kind,))
    assert text[finding.start : finding.end] == found
    after, counts = replace(text, (kind,))
    assert counts == {kind: 1}
    assert found not in after
    # the stand-in is nobody's, and is not found again
    assert replace(after, TYPES) == (after, {})


def test_stand_ins_stay():
    for kind, stand_in in STAND_INS.items():
        text = f"This {stand_in} is no one's."
        assert replace(text, TYPES) == (text, {}), kind


@pytest.mark.parametrize(
    "text",
    [
        "from 10.0.0.1, 127.0.0.1, 192.168.1.1, 192.0.2.7, ::1, fe80::1 and 2001:db8::7",
        "std::vector, a::b, dead::beef, 12:30:45, version 1.2.3.4.5",
        "@miller, gatsby@2.32.13, logo@2x.png, a@b, user@example.com, x@mill.test, x@localhost",
        "1. FC Köln 2:1, ISBN 978-3-16-148410-0, 3.14159, 1,234,567",
    ],
)
def test_what_is_nobodys(text):
    assert replace(text, DEFAULT) == (text, {})


def test_overlaps_are_resolved():
    text = "pay 4111-1111-1111-1111 or 41.176.181.243@mill.com"
    found = find(text, TYPES)
    assert [one.type for one in found] == ["CREDIT_CARD", "EMAIL_ADDRESS"]
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_long_lines_are_searched_whole():
    words = "The mill turns slowly and grain becomes flour. " * 3
    text = "".join(f"{words}Write to user{number}@mill.com soon. " for number in range(300))
    after, counts = replace(text, DEFAULT)
    assert counts == {"EMAIL_ADDRESS": 300}
    assert "mill.com" not in after


def test_order_of_kinds_does_not_matter():
    text = "a@mill.com 8.8.8.8 +1 650 253 0000 474-49-7577"
    assert replace(text, sorted(TYPES)) == replace(text, sorted(TYPES, reverse=True))


def test_an_unknown_kind_is_an_error():
    with pytest.raises(KeyError):
        replace("text", ("SHOE_SIZE",))


def test_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    assert replace("a@new-mill.com", DEFAULT)[1] == {"EMAIL_ADDRESS": 1}


@pytest.mark.parametrize(
    "piece", ["a@", "1234567890", "1.1.", "a.", "a-", "a:", "AB12", "4 ", "a@b.com ", "@", "1\n"]
)
def test_hostile_text_takes_linear_time(piece):
    replace("warm up: a@mill.com 8.8.8.8", DEFAULT)
    text = piece * (200_000 // len(piece)) + "@"
    with within(10):
        replace(text, DEFAULT)


def test_personal_data_of_the_sample(sample: Path):
    with gzip.open(sample / "sample.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        (row,) = [row for row in map(json.loads, lines) if row["id"] == "personal-data"]
    after, counts = replace(row["main_text"], TYPES)
    wanted = Counter(span["type"] for span in row["pii"])
    for kind in ("EMAIL_ADDRESS", "IP_ADDRESS", "CREDIT_CARD", "US_SSN"):
        assert counts[kind] == wanted[kind]
        assert not any(span["text"] in after for span in row["pii"] if span["type"] == kind)


@pytest.mark.corpus
def test_labelled_text(corpus):
    with (corpus / "pii/labelled.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    right = wrong = found = wanted = 0
    for row in rows:
        gold = [span for span in row["spans"] if span["type"] in COMMON]
        own = find(row["text"], COMMON)
        pairs = {
            (at, index)
            for at, one in enumerate(own)
            for index, span in enumerate(gold)
            if one.type == span["type"] and one.start < span["end"] and span["start"] < one.end
        }
        right += len({at for at, _ in pairs})
        wrong += len(own) - len({at for at, _ in pairs})
        found += len({index for _, index in pairs})
        wanted += len(gold)
    assert wanted == 391
    # the one that is missed is private: 10.218.6.131
    assert (right, wrong, found) == (390, 0, 390)


@pytest.mark.corpus
def test_no_false_alarm_on_text_full_of_digits(corpus):
    with (corpus / "pii/negatives.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    assert len(texts) == 500
    assert [text for text in texts if replace(text, TYPES) != (text, {})] == []
