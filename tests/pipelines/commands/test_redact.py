import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

from curation.pii.settings import Redaction
from pipelines.commands.options import No
from pipelines.commands.redact import redacted
from pipelines.runs.rows import Row
from schemas.pii import PiiKey, PiiNames, PiiPattern, PiiPolicies, Redact
from schemas.problems import Problem
from tests.runs import gristmill

ROWS = [
    {"id": 1, "text": "Ada: ada@mill.com, 8.8.4.4", "source": "mail"},
    {"id": "two", "text": "Nothing here.\r\n"},
    {"id": "汉", "text": "请联系bob@mill.org或者M-1234"},
]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS) + "{broken\n")
    return str(path)


def run(*words):
    done = gristmill("redact", *words)
    return done.returncode, done.stderr


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_redact(texts, tmp_path):
    out = tmp_path / "out.jsonl"
    status, told = run(texts, "--output", str(out), "--policy", "placeholder")
    assert status == 0
    rows = read(out)
    assert [(row["id"], row.get("source"), row["text"]) for row in rows] == [
        ("1", "mail", "Ada: <EMAIL_ADDRESS>, <IP_ADDRESS>"),
        ("two", None, "Nothing here.\r\n"),
        ("汉", None, "请联系<EMAIL_ADDRESS>或者M-1234"),
    ]
    assert rows[2]["spans"] == [{"start": 3, "end": 15, "type": "EMAIL_ADDRESS", "score": 1.0}]
    assert "2 EMAIL_ADDRESS" in told
    assert "1 IP_ADDRESS" in told


def test_only_spans_of_some_types_to_parquet(texts, tmp_path):
    out = tmp_path / "out.parquet"
    options = ["--types", "IP_ADDRESS", "--keep-text", "--quiet"]
    assert run(texts, "--output", str(out), *options) == (0, "")
    rows = pq.read_table(out).to_pylist()
    assert [row["text"] for row in rows] == [row["text"] for row in ROWS]
    assert [[span["type"] for span in row["spans"]] for row in rows] == [["IP_ADDRESS"], [], []]


def test_a_hash_by_the_key_of_a_file(texts, tmp_path):
    (tmp_path / "key").write_text("secret")
    found = []
    for name in ("a.jsonl", "b.jsonl"):
        options = ["--policy", "hash", "--key-file", str(tmp_path / "key")]
        assert run(texts, "--output", str(tmp_path / name), *options)[0] == 0
        found.append((tmp_path / name).read_bytes())
    assert found[0] == found[1]
    assert b"<EMAIL_ADDRESS:" in found[0]
    status, told = run(texts, "--output", str(tmp_path / "c.jsonl"), "--policy", "hash")
    assert status == 2
    assert "--key-file" in told


def test_what_is_wrong(texts, tmp_path):
    out = str(tmp_path / "out.jsonl")
    status, told = run(texts, "--output", out, "--types", "EMAIL_ADRESS")
    assert status == 2
    assert "did you mean `EMAIL_ADDRESS`" in told
    with pytest.raises(Problem, match="holds no pipeline of spaCy"):
        Redaction(Redact(names=PiiNames(model=str(tmp_path / "none")))).redact(["x"])
    (tmp_path / "empty").write_text("\n")
    key = PiiKey(file=str(tmp_path / "empty"))
    with pytest.raises(Problem, match="holds no key"):
        Redaction(Redact(policy="hash", key=key)).redact(["x"])
    with pytest.raises(Problem, match="`US_SSN` is not looked for"):
        Redaction(Redact(policies={"US_SSN": "keep"}))


def test_policies_of_sources_patterns_and_documents_that_are_dropped():
    asked = Redact(
        patterns=(PiiPattern(type="MEMBER", regex=r"M-\d{4}"),),
        drop_above=1,
        sources={"mail": PiiPolicies(policy="placeholder", policies={"IP_ADDRESS": "keep"})},
    )
    batch = [Row(str(row["id"]), row["text"], {"source": row.get("source")}) for row in ROWS]
    found = Counter()
    done = list(redacted(Redaction(asked, 0), batch, found, keep_text=False))
    assert [row["text"] for row in done[:2]] == ["Ada: <EMAIL_ADDRESS>, 8.8.4.4", ROWS[1]["text"]]
    assert done[2] == No("personal_data", "2")
    assert found["MEMBER"] == 1


def test_dropped_documents_go_to_the_rejected(texts, tmp_path):
    out, lost = tmp_path / "out.jsonl", tmp_path / "lost.jsonl"
    options = ["--drop-above", "1", "--rejected", str(lost)]
    assert run(texts, "--output", str(out), *options)[0] == 0
    assert [row["id"] for row in read(out)] == ["two", "汉"]
    gone = {row["id"]: (row["reason"], row["value"]) for row in read(lost)}
    assert gone["1"] == ("personal_data", "2")
    assert len(gone) == 2


def test_policies_by_type_patterns_and_the_key_of_a_variable(texts, tmp_path):
    options = ["--policy", "hash", "--policy", "IP_ADDRESS=keep", "--key-variable", "MILL_KEY"]
    out = tmp_path / "out.jsonl"
    words = [texts, "--output", str(out), *options, "--pattern", "MEMBER=M-[0-9]{4}"]
    done = gristmill("redact", *words, MILL_KEY="secret")
    assert done.returncode == 0, done.stderr
    first, _, third = (row["text"] for row in read(out))
    assert first.startswith("Ada: <EMAIL_ADDRESS:")
    assert first.endswith(">, 8.8.4.4")
    assert "<MEMBER:" in third
    assert "1 MEMBER" in done.stderr


RECIPE = """
name: own
seed: 9
curate:
  chain:
    - redact:
        policy: fake
        types: [EMAIL_ADDRESS]
        patterns: [{type: MEMBER, regex: "M-[0-9]{4}", words: [或者]}]
        sources: {mail: {policy: placeholder}}
"""


def test_the_settings_of_a_recipe(texts, tmp_path):
    (tmp_path / "own.yaml").write_text(RECIPE, encoding="utf-8")
    found = []
    for name, more in (("a", []), ("b", ["--seed", "9"]), ("c", ["--seed", "1"])):
        out = tmp_path / f"{name}.jsonl"
        words = [texts, "--output", str(out), "--recipe", str(tmp_path / "own.yaml"), *more]
        assert run(*words)[0] == 0
        found.append([row["text"] for row in read(out)])
    assert found[0] == found[1]
    assert found[0][0] == found[2][0] == "Ada: <EMAIL_ADDRESS>, 8.8.4.4"
    assert found[0][2].endswith("或者<MEMBER>")
    assert found[0][2] != found[2][2]
    # rows that the step is not for stay
    limited = RECIPE.replace("    - redact:", "    - sources: [mail]\n      redact:")
    (tmp_path / "limited.yaml").write_text(limited, encoding="utf-8")
    out = tmp_path / "limited.jsonl"
    assert run(texts, "--output", str(out), "--recipe", str(tmp_path / "limited.yaml"))[0] == 0
    assert [row["text"] for row in read(out)] == [found[0][0], *(row["text"] for row in ROWS[1:])]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--recipe", "fineweb", "--types", "IP_ADDRESS"], "--types and --recipe"),
        (["--recipe", "gopher", "--quiet"], "but none"),
        (["--policy", "fake", "--policy", "keep"], "for all types twice"),
        (["--policy", "mask"], "redact.policy: "),
        (["--policy", "US_SSNS=keep"], "`US_SSNS` is not looked for"),
        (["--pattern", "MEMBER"], "write TYPE=..."),
        (["--pattern", "MEMBER=("], "no regular expression"),
    ],
)
def test_options_that_do_not_go_together(texts, tmp_path, words, said):
    status, told = run(texts, "--output", str(tmp_path / "out.jsonl"), *words)
    assert (status, said in told) == (2, True), told
