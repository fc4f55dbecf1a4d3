"""Chains: what is refused, and how a document is judged."""

from pathlib import Path
from typing import Any

import pytest

from curation.chain import Chain, check_chain
from curation.edits import EDITS
from curation.measures import MEASURES, View, round_signal
from curation.rules import chain_names, load_chain, load_table, table_names, with_languages
from schemas.chain import EditStep, RulesStep
from schemas.filter import Filter
from schemas.problems import Problem
from schemas.rules import RuleTable
from tests.curation.judging import failing, judge

FINEWEB = ("gopher_repetition", "gopher_quality", "!c4_lines", "c4", "fineweb_quality")
GOOD = """The miller opens the sluice before dawn and lets the water run over the old wheel.
His daughter carries the sacks of rye from the cart to the upper floor of the mill.
By nine o'clock the stones have warmed up and the first flour comes down the chute.
Nobody in the valley grinds as finely as they do, so the bakers wait at the gate.
In winter the pond freezes over and the whole family has to break the ice by hand.
A miller who does not listen to his stones will burn the grain and ruin his name.
When the wind is strong he closes every shutter because the dust could catch fire.
They have been offered a motor many times but the wheel is what the visitors like."""


def table(name: str, *rows: tuple[str, str, Any, str]) -> RuleTable:
    keys = ("signal", "operator", "threshold", "reason")
    return RuleTable.model_validate(
        {"name": name, "rules": [dict(zip(keys, row, strict=True)) for row in rows]}
    )


def spec(*steps: str | RuleTable, exhaustive: bool = True, **languages: float) -> Filter:
    """`!name` is an edit, another string a bundled table."""
    chain = [
        RulesStep(rules=step)
        if isinstance(step, RuleTable)
        else EditStep(edit=step[1:])
        if step.startswith("!")
        else RulesStep(rules=load_table(step, Path()))
        for step in steps
    ]
    return with_languages(Filter(chain=tuple(chain), exhaustive=exhaustive), languages or None)


def words_table(name: str = "mine", **changes: Any) -> RuleTable:
    row = {"signal": "gopher.words", "operator": ">=", "threshold": 5, "reason": "few"} | changes
    return table(name, (row["signal"], row["operator"], row["threshold"], row["reason"]))


def only_mistake(*steps: str | RuleTable) -> tuple[str, str]:
    mistakes = check_chain(spec(*steps))
    assert len(mistakes) == 1, mistakes
    with pytest.raises(Problem, match=r"filter\.chain"):
        Chain(spec(*steps))
    return mistakes[0]


def test_every_bundled_table_fits_in_a_chain() -> None:
    assert check_chain(spec(*FINEWEB)) == []
    for name in table_names():
        assert check_chain(load_chain(name, Path())) == []
    for name in chain_names():
        chain = load_chain(name, Path())
        assert check_chain(chain) == []
        assert tuple(judge(Chain(chain), GOOD, "en", 1.0).signals) == Chain(chain).signals


def test_an_unknown_signal_is_refused_with_the_closest() -> None:
    path, message = only_mistake("gopher_quality", words_table(signal="gopher.wrods"))
    assert path == "filter.chain[1].rules.rules[0].signal"
    assert "did you mean `words`" in message


def test_trap_a_cut_on_a_signal_that_nobody_measures_is_no_silent_keep() -> None:
    """dolma's configurations test `..._2gram` while its tagger gives `..._2grams`."""
    _, message = only_mistake(words_table(signal="gopher_repetition.top_2_grams"))
    assert "did you mean `top_2_gram`" in message


def test_an_unknown_signal_or_family_is_answered_with_what_there_is() -> None:
    assert "mean_word_length, hash_ratio" in only_mistake(words_table(signal="gopher.zzz"))[1]
    assert "fineweb, fineweb2, c4, mc4" in only_mistake(words_table(signal="zzz.zzz"))[1]
    assert "did you mean `fineweb`" in only_mistake(words_table(signal="finweb.lines"))[1]


def test_an_unknown_edit_is_refused_with_the_closest() -> None:
    path, message = only_mistake("gopher_quality", "!c4_line")
    assert path == "filter.chain[1].edit"
    assert "did you mean `c4_lines`" in message


@pytest.mark.parametrize(
    ("operator", "threshold", "key"),
    [
        (">", "many", "threshold"),
        (">", True, "threshold"),
        (">", ("a", "b"), "threshold"),
        ("<", float("nan"), "threshold"),
        ("==", "0", "threshold"),
        ("in", ("en",), "operator"),
        ("not in", ("en",), "operator"),
    ],
)
def test_a_threshold_that_is_no_number_is_refused(operator: str, threshold: Any, key: str) -> None:
    path, message = only_mistake(words_table(operator=operator, threshold=threshold))
    assert path == f"filter.chain[0].rules.rules[0].{key}"
    assert "`gopher.words` is a number" in message


def test_a_signal_on_both_sides_of_an_edit_is_refused() -> None:
    path, message = only_mistake("gopher_quality", "!c4_lines", words_table())
    assert path == "filter.chain[2].rules.rules[0].signal"
    assert "filter.chain[0]" in message
    assert "`c4_lines` at filter.chain[1]" in message
    # not used before, but measured before with the others of its family
    other = words_table("other", signal="gopher.alpha_words", reason="other")
    assert only_mistake(words_table(), "!c4_lines", other)[0].endswith(".signal")


def test_a_signal_on_one_side_of_an_edit_is_fine() -> None:
    assert check_chain(spec("!c4_lines", "c4", "gopher_quality", words_table())) == []


def test_a_signal_of_an_edit_that_comes_later_or_never_is_refused() -> None:
    for steps in (("c4",), ("c4", "!c4_lines")):
        mistakes = check_chain(spec(*steps))
        assert [path for path, _ in mistakes] == [
            f"filter.chain[0].rules.rules[{place}].signal" for place in range(3)
        ]
        assert "put `edit: c4_lines` in front" in mistakes[0][1]


def test_a_table_or_edit_twice_is_refused() -> None:
    mistakes = dict(check_chain(spec("gopher_quality", "gopher_quality")))
    assert "filter.chain[0]" in mistakes["filter.chain[1].rules.name"]
    assert only_mistake("!c4_lines", "c4", "!c4_lines")[0] == "filter.chain[2].edit"


def test_a_reason_twice_is_refused() -> None:
    path, message = only_mistake(words_table(), words_table("other", threshold=9))
    assert path == "filter.chain[1].rules.rules[0].reason"
    assert "filter.chain[0].rules.rules[0]" in message
    assert only_mistake(words_table(reason="language"))[0].endswith(".reason")


def test_all_mistakes_are_told_at_once() -> None:
    other = words_table("other", reason="other", operator="in")
    mistakes = check_chain(spec("!nothing", words_table(signal="a.b"), other))
    assert len(mistakes) == 3
    with pytest.raises(Problem) as error:
        Chain(spec("!nothing", words_table(signal="a.b")))
    assert len(str(error.value).splitlines()) == 2


def test_a_table_by_name_must_be_loaded_first() -> None:
    with pytest.raises(ValueError, match="load_table"):
        check_chain(Filter(chain=(RulesStep(rules="gopher_quality"),)))


def test_signals_and_versions_of_the_fineweb_chain() -> None:
    chain = Chain(spec(*FINEWEB))
    assert chain.signals == (
        *MEASURES["gopher_repetition"].signals,
        *MEASURES["gopher"].signals,
        *EDITS["c4_lines"].signals,
        *MEASURES["fineweb"].signals,
    )
    assert chain.versions.keys() == {
        "measure gopher_repetition", "measure gopher", "edit c4_lines", "measure fineweb",
        "view", "spacy", "unicode",
    }  # fmt: skip
    assert Chain(Filter()).versions == {}


def test_a_good_document_is_kept_with_every_signal_and_its_edit() -> None:
    outcome = judge(Chain(spec(*FINEWEB, en=0.65)), f"Home\n{GOOD}\n\nBuy now", "en", 0.9)
    assert outcome.kept
    assert outcome.reasons == []
    assert outcome.text == GOOD
    assert None not in outcome.signals.values()
    assert outcome.signals["fineweb.lines"] == 8  # of the edited text
    assert outcome.signals["c4_lines.lines"] == 11
    assert outcome.signals["gopher.words"] == len(GOOD.split()) + 3  # of the text as it came


def test_all_failing_reasons_are_told_in_the_order_of_the_chain() -> None:
    outcome = judge(Chain(spec(*FINEWEB, en=0.65)), "", "de", 0.9)
    assert outcome.reasons == [
        "language",
        "empty",
        "gopher_short_doc",
        "gopher_below_avg_threshold",
        "gopher_below_alpha_threshold",
        "gopher_enough_stop_words",
        "too_few_sentences",
        "fineweb_empty",
        "line_punct_ratio",
    ]
    assert not outcome.kept


def test_languages() -> None:
    chain = Chain(spec(en=0.65, de=0.5))
    assert judge(chain, "x", "en", 0.66).reasons == []
    assert judge(chain, "x", "en", 0.65).reasons == ["language_score"]
    assert judge(chain, "x", "de", 0.6).reasons == []
    assert judge(chain, "x", "fr", 0.99).reasons == ["language"]
    assert judge(Chain(spec()), "x", "fr", 0.01).kept


def test_not_exhaustive_stops_at_the_first_table_that_rejects() -> None:
    bad = GOOD.replace(".", " # # # {")
    every = judge(Chain(spec(*FINEWEB)), bad, "en", 1)
    first = judge(Chain(spec(*FINEWEB, exhaustive=False)), bad, "en", 1)
    assert every.reasons[: len(first.reasons)] == first.reasons
    assert first.reasons == [r for r in every.reasons if r.startswith("gopher_")] != []
    assert "curly_bracket" in every.reasons
    for name, value in first.signals.items():
        measured = name.startswith("gopher")
        assert value == (every.signals[name] if measured else None)
    assert tuple(first.signals) == tuple(every.signals)


def test_not_exhaustive_measures_nothing_in_another_language() -> None:
    outcome = judge(Chain(spec(*FINEWEB, exhaustive=False, en=0.65)), GOOD, "fr", 0.9)
    assert outcome.reasons == ["language"]
    assert [name for name, value in outcome.signals.items() if value is not None] == [
        "language.score"
    ]
    assert outcome.text == GOOD


def test_the_stored_values_give_the_verdict_again() -> None:
    """What a sweep of thresholds relies on."""
    tables = [load_table(name, Path()) for name in FINEWEB if not name.startswith("!")]
    chain = Chain(spec(*FINEWEB))
    for text in (GOOD, GOOD * 3, "word " * 300, "- a\n" * 60, "", "x" * 3000):
        outcome = judge(chain, text, "en", 1)
        again = [reason for item in tables for reason in failing(item.rules, outcome.signals)]
        assert again == outcome.reasons


def test_a_family_is_measured_once_where_it_is_first_needed() -> None:
    chain = Chain(spec(words_table(), words_table("more", threshold=3, reason="fewer")))
    assert judge(chain, "one two three four", "en", 1).reasons == ["few"]
    assert chain.signals == MEASURES["gopher"].signals


def test_two_variants_of_an_edit_may_follow_each_other() -> None:
    chain = Chain(spec("!c4_lines", "!c4_lines_paper", "mc4"))
    assert judge(chain, f"{GOOD}\nno mark at the end", "en", 1).text == GOOD


LONG = {"signal": "gopher.words", "operator": ">=", "threshold": 100, "reason": "short"}
SHORT = LONG | {"threshold": 5}


def limited(*steps: dict[str, Any], **languages: float) -> Filter:
    """Steps of one rule each, in tables `t0`, `t1`, ..."""
    chain = [
        {**step, "rules": {"name": f"t{number}", "rules": [step["rules"]]}}
        for number, step in enumerate(steps)
    ]
    return with_languages(Filter.model_validate({"chain": chain}), languages or None)


def test_a_table_may_be_for_some_languages_and_sources() -> None:
    chain = Chain(
        limited(
            {"rules": LONG, "languages": ["en"], "sources": ["news"]},
            {"rules": SHORT, "languages": ["de", "fr"]},
        )
    )
    assert chain.needs == {"language", "source"}
    text = "only six words are in here"
    assert judge(chain, text, "en", 1, "news").reasons == ["short"]
    assert judge(chain, text, "de", 1, "news").kept
    assert judge(chain, "two words", "fr", 1, "web").reasons == ["short"]
    # what no table is for is neither measured nor judged
    for outcome in (judge(chain, "two", "en", 1, "web"), judge(chain, "two", "it", 1, "news")):
        assert outcome.kept
        assert set(outcome.signals.values()) == {None}
    with pytest.raises(ValueError, match="needs of each document source"):
        judge(chain, text, "en", 1)


def test_a_family_is_measured_at_the_first_table_that_is_for_the_document() -> None:
    chain = Chain(limited({"rules": LONG, "languages": ["de"]}, {"rules": SHORT | {"reason": "x"}}))
    assert judge(chain, "one two", "en", 1).reasons == ["x"]
    assert judge(chain, "one two", "de", 1).reasons == ["short", "x"]


def test_a_reason_may_be_given_again_to_other_documents() -> None:
    german, french = ({"rules": SHORT, "languages": [code]} for code in ("de", "fr"))
    assert check_chain(limited(german, french)) == []
    news = {"rules": SHORT, "languages": ["de"], "sources": ["news"]}
    assert check_chain(limited(news, {"rules": LONG, "sources": ["web"]})) == []
    for other in (german, {"rules": LONG, "languages": ["fr", "de"]}, {"rules": LONG}, news):
        ((path, message),) = check_chain(limited(german, other))
        assert path == "filter.chain[1].rules.rules[0].reason"
        assert "different languages or sources" in message


def test_a_language_that_is_not_kept_is_a_mistake() -> None:
    step = {"rules": SHORT, "languages": ["en", "fr"]}
    assert check_chain(limited(step)) == []
    ((path, message),) = check_chain(limited(step, en=0.5, de=0.5))
    assert path == "filter.chain[1].languages[1]"
    assert "has en, de" in message


def test_mistakes_inside_of_groups_have_their_place() -> None:
    unknown = {"signal": "gopher.wrods", "operator": ">", "threshold": 1}
    early = {"signal": "c4_lines.lines", "operator": ">", "threshold": 1}
    text = {"signal": "gopher.words", "operator": "in", "threshold": ["a"]}
    row = {"any": [unknown, {"all": [early, text]}], "reason": "r"}
    assert [path for path, _ in check_chain(limited({"rules": row}))] == [
        "filter.chain[0].rules.rules[0].any[0].signal",
        "filter.chain[0].rules.rules[0].any[1].all[0].signal",
        "filter.chain[0].rules.rules[0].any[1].all[1].operator",
    ]


def test_groups_are_measured_and_judged() -> None:
    few = {"signal": "gopher.words", "operator": ">=", "threshold": 3}
    fine = {"signal": "fineweb.lines", "operator": "==", "threshold": 1}
    chain = Chain(limited({"rules": {"any": [few, fine], "reason": "r"}}))
    assert chain.signals == (*MEASURES["gopher"].signals, *MEASURES["fineweb"].signals)
    assert judge(chain, "one two three", "en", 1).kept
    assert judge(chain, "one", "en", 1).kept
    assert judge(chain, "one\ntwo", "en", 1).reasons == ["r"]


def test_what_of_a_document_a_chain_needs() -> None:
    assert Chain(spec("gopher_quality")).needs == frozenset()
    assert Chain(spec("gopher_quality", en=0.5)).needs == {"language", "language_score"}
    assert Chain(spec("fineweb2")).needs == {"language"}


def test_every_signal_has_a_formula_and_a_source() -> None:
    for owner in (*MEASURES.values(), *EDITS.values()):
        assert owner.source
        for formula in owner.formulas.values():
            assert formula.endswith(".")
            assert 10 < len(formula) < 220
    assert all(edit.does for edit in EDITS.values())


def test_signals_are_rounded_once() -> None:
    assert round_signal(1 / 3) == 0.333333333
    assert isinstance(round_signal(7), float)
    for measure in MEASURES.values():
        for value in measure(View(GOOD)).values():
            assert round_signal(value) == value
    # a share that is a threshold stays it; its neighbours of 4 million parts stay apart
    assert round_signal(300_000 / 1_000_000) == 0.3
    assert round_signal(1_200_001 / 4_000_000) > 0.3
