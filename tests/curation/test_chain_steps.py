"""Steps of a chain: which documents they are for, what each kind does, and in which order."""

from typing import Any

import pyarrow as pa
import pytest

from curation.chain import Chain, Outcome, check_chain
from curation.edits import EDITS, Edit
from curation.measures import MEASURES, Measure, View
from schemas.curate import Curate
from schemas.filter import Filter

CUTS = pa.list_(pa.struct({"level": pa.string(), "start": pa.uint32(), "end": pa.uint32()}))
CODE = "def mill(grain):\n\n    if grain:\n        return grain\n    }\n"
PROSE = "The miller opens the sluice before dawn, as he has done for many years.\nHome\n"
MAIL = "Write to jane.roe@mail-of-jane.org for flour.\n"
WEB = {"kinds": ["web"]}


def documents(*texts: str, **columns: list[Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"text": list(texts), **columns})


def filtering(*steps: dict[str, Any], **more: Any) -> Filter:
    return Filter.model_validate({"chain": list(steps), **more})


def words(least: int, reason: str = "few") -> dict[str, Any]:
    rule = {"signal": "gopher.words", "operator": ">=", "threshold": least, "reason": reason}
    return {"rules": {"name": reason, "rules": [rule]}}


def only_mistake(spec: Filter | Curate) -> tuple[str, str]:
    (mistake,) = check_chain(spec)
    return mistake


@pytest.mark.parametrize(
    ("scope", "applied"),
    [
        ({"kinds": ["web"]}, [True, False, False]),
        ({"formats": ["code", "jsonl"]}, [False, True, True]),
        ({"sources": ["b"], "kinds": ["code", "other"]}, [False, True, False]),
        ({"languages": ["de"]}, [False, False, True]),
        ({}, [True, True, True]),
    ],
)
def test_every_kind_of_step_passes_by_what_it_is_not_for(
    scope: dict[str, Any], applied: list[bool]
) -> None:
    chain = Chain(
        filtering(
            {"edit": "c4_lines", **scope},
            {"redact": ["EMAIL_ADDRESS"], **scope},
            {**words(100), **scope},
        )
    )
    text = f"{PROSE}{MAIL}{CODE}"
    found = chain.apply(
        documents(
            *[text] * 3,
            kind=["web", "code", "other"],
            format=["warc", "code", "jsonl"],
            source=["a", "b", "c"],
            language=["en", "en", "de"],
        )
    )
    for at, wanted in enumerate(applied):
        assert (found.texts[at] == text) != wanted
        assert found.reasons[at] == (["few"] if wanted else [])
        for signal in ("c4_lines.lines", "pii.count", "gopher.words"):
            assert (found.signals[signal][at].as_py() is not None) == wanted


def test_code_and_rows_come_out_of_web_steps_byte_for_byte() -> None:
    chain = Chain(filtering({"edit": "c4_lines", **WEB}, {"redact": ["EMAIL_ADDRESS"], **WEB}))
    texts = [CODE, "\\section{Mills}\n\n  x@y.org % kept\n", '{"a": "jane@mail-of-jane.org"}']
    found = chain.apply(documents(*texts, kind=["code", "papers", "other"]))
    assert found.texts == texts
    # what is not known to be of another kind is judged: texts that `gristmill filter` is given
    assert chain.apply(documents(CODE)).texts != [CODE]


def test_languages_are_a_step_whose_signal_rules_judge() -> None:
    spec = filtering(
        {"languages": {"en": 0.5, "de": 0.9}, "sources": ["a"]},
        {
            "rules": {
                "name": "sure",
                "rules": [
                    {
                        "signal": "language.score",
                        "operator": ">=",
                        "threshold": 0.3,
                        "reason": "unsure",
                    }
                ],
            }
        },
    )
    found = Chain(spec).apply(
        documents(
            *["x"] * 5,
            language=["en", "de", "fr", "fr", "en"],
            language_score=[0.6, 0.8, 0.99, 0.2, 0.25],
            source=["a", "a", "a", "b", "a"],
        )
    )
    reasons = [[], ["language_score"], ["language"], ["unsure"], ["language_score", "unsure"]]
    assert found.reasons == reasons
    assert found.signals["language.score"].to_pylist() == [0.6, 0.8, 0.99, 0.2, 0.25]
    assert found.values == [None, "0.8", "fr", "0.2", "0.25"]
    assert found.details[1] == "a score of its language above 0.5 (en), 0.9 (de)"
    path, message = only_mistake(filtering({"languages": {"de": 0.5}}, {"languages": {"en": 0.5}}))
    assert path == "filter.chain[1]"
    assert "filter.chain[0]" in message


def test_redaction_is_a_step_whose_signals_rules_judge() -> None:
    rule = {"signal": "pii.count", "operator": "<=", "threshold": 1, "reason": "personal"}
    table = {"rules": {"name": "pii", "rules": [rule]}}
    redact = {"redact": ["EMAIL_ADDRESS", "IP_ADDRESS"]}
    found = Chain(filtering(redact, table)).apply(documents(MAIL, MAIL * 2, PROSE))
    assert found.reasons == [[], ["personal"], []]
    assert found.signals["pii.email_address"].to_pylist() == [1, 2, 0]
    assert found.signals["pii.ip_address"].to_pylist() == [0, 0, 0]
    assert "jane.roe" not in "".join(found.texts)
    assert (found.values[1], found.details[1]) == ("2", "pii.count <= 1")
    assert "put `redact` in front" in only_mistake(filtering(table))[1]
    limited = {**redact, "kinds": ["web"]}
    assert "limit this table" in only_mistake(filtering(limited, table))[1]
    assert check_chain(filtering(limited, {**redact, "kinds": ["code"]})) == []
    assert only_mistake(filtering(limited, redact))[0] == "filter.chain[1].redact"
    path, message = only_mistake(filtering({"redact": ["EMAIL"]}))
    assert path == "filter.chain[0].redact[0]"
    assert "EMAIL_ADDRESS" in message


def test_cutting_comes_first_after_deduplication_and_only_there() -> None:
    cut = {"cut": {"least_words": 3}}
    assert check_chain(Curate.model_validate({"chain": [cut, words(1)]})) == []
    for spec in (
        filtering(cut),
        Curate.model_validate({"chain": [words(1), cut]}),
    ):
        path, message = only_mistake(spec)
        assert path.endswith(".cut")
        assert "the first step of `curate.chain`" in message


def test_cut_spans_and_what_is_left() -> None:
    rule = {"signal": "cut.characters", "operator": "<=", "threshold": 12, "reason": "much"}
    spec = Curate.model_validate(
        {
            "chain": [
                {"cut": {"least_words": 3}, "kinds": ["web"]},
                {"rules": {"name": "cut", "rules": [rule]}, "kinds": ["web"]},
            ]
        }
    )
    text = "one two three\nfour five six seven"
    line = {"level": "lines", "start": 0, "end": 14}
    rest = {"level": "bloom", "start": 14, "end": 28}
    found = Chain(spec).apply(
        documents(
            *[text] * 4,
            kind=["web", "web", "web", "code"],
            cuts=pa.array(
                [[], [line], [line, rest], [line]],
                pa.list_(
                    pa.struct(
                        [("level", pa.string()), ("start", pa.uint32()), ("end", pa.uint32())]
                    )
                ),
            ),
        )
    )
    assert found.texts == [text, "four five six seven", "seven", text]
    assert found.reasons == [[], ["much"], ["cut_short", "much"], []]
    assert found.signals["cut.lines"].to_pylist() == [0, 14, 14, None]
    assert found.signals["cut.bloom"].to_pylist() == [0, 0, 14, None]
    assert found.signals["cut.words"].to_pylist() == [None, 4, 1, None]


def test_a_family_may_be_measured_on_both_sides_of_an_edit_of_other_documents() -> None:
    web, code = {"kinds": ["web"]}, {"kinds": ["code"]}
    steps = [{**words(3), **web}, {"edit": "c4_lines", **code}, {**words(4, "fewer"), **web}]
    assert check_chain(filtering(*steps)) == []
    steps[1] = {"edit": "c4_lines"}
    assert only_mistake(filtering(*steps))[0] == "filter.chain[2].rules.rules[0].signal"


def test_an_unknown_classifier_is_a_mistake() -> None:
    path, message = only_mistake(filtering({"classifiers": ["quality"]}))
    assert path == "filter.chain[0].classifiers[0]"
    assert "`filter.classifiers` has none" in message


def _same(one: Outcome, other: Outcome) -> None:
    assert one.texts == other.texts
    assert one.reasons == other.reasons
    for name, values in one.signals.items():
        assert values.to_pylist() == other.signals[name].to_pylist()


def test_batches_and_order_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [PROSE * number + MAIL + CODE for number in range(20)]
    kinds = [("web", "code")[number % 3 == 0] for number in range(20)]
    spec = filtering(words(30), {"edit": "c4_lines", **WEB}, {"redact": ["EMAIL_ADDRESS"]})
    chain = Chain(spec)
    whole = chain.apply(documents(*texts, kind=kinds))
    assert {len(reasons) for reasons in whole.reasons} == {0, 1}
    for most, characters in ((1, 1 << 20), (7, 1 << 20), (256, 300)):
        monkeypatch.setattr("curation.chain.BATCH_DOCUMENTS", most)
        monkeypatch.setattr("curation.chain.BATCH_CHARACTERS", characters)
        _same(chain.apply(documents(*texts, kind=kinds)), whole)
    turned = chain.apply(documents(*texts[::-1], kind=kinds[::-1]))
    assert turned.texts[::-1] == whole.texts
    assert turned.reasons[::-1] == whole.reasons
    assert chain.apply(documents(*texts, kind=kinds).slice(0, 0)).texts == []


def test_what_takes_batches_is_given_them_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def lengths(views: list[View]) -> list[dict[str, float]]:
        sizes.append(len(views))
        return [{"characters": len(view.text)} for view in views]

    def shout(views: list[View]) -> list[tuple[View, dict[str, float]]]:
        sizes.append(len(views))
        return [(view.edited(view.text.upper()), {"changed": 1}) for view in views]

    measure = Measure("lengths", 1, {"characters": "Characters."}, lengths, batched=True)
    edit = Edit("shout", 1, {"changed": "Always 1."}, shout, batched=True)
    monkeypatch.setitem(MEASURES, "lengths", measure)
    monkeypatch.setitem(EDITS, "shout", edit)
    assert measure.many([View("ab"), View("c")])[1] == {"lengths.characters": 1.0}
    assert [each.text for each in edit.many([View("ab"), View("c")])] == ["AB", "C"]
    assert Chain(filtering({"edit": "shout"})).apply(documents(*"abc")).texts == ["A", "B", "C"]
    assert sizes == [2, 2, 3]
