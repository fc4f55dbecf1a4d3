"""Rule tables: the bundled ones, files of users, and what fails by them."""

from pathlib import Path

import pyarrow as pa
import pytest

from curation.rules import (
    chain_names,
    holds,
    load_chain,
    load_table,
    table_names,
)
from schemas.chain import EditStep, LanguagesStep, RulesStep
from schemas.problems import Problem
from schemas.rules import Rule, RuleTable
from tests.curation.judging import failing

ROW = "  - {signal: gopher.words, operator: '>=', threshold: 50, reason: short}\n"


def group(text: str) -> str:
    """A table of one group; `A` stands for a condition."""
    condition = "signal: gopher.words, operator: '>=', threshold: 50"
    text = text.replace("{{", "{").replace("}}", "}").replace("{A", "{" + condition)
    return f"name: mine\nrules: [{{{text}}}]"


def refused(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text, "utf-8")
    with pytest.raises(Problem) as error:
        load_table("mine.yaml", folder)
    message = str(error.value)
    assert message.startswith(str(folder / "mine.yaml"))
    return message.removeprefix(str(folder / "mine.yaml"))


def test_the_bundled_tables_load_and_fit_on_a_screen() -> None:
    assert set(table_names()) >= {
        "c4", "c4_paper", "fineweb_quality", "gopher_quality", "gopher_repetition",
    }  # fmt: skip
    for name in table_names():
        table = load_table(name, Path("/nowhere"))
        assert table.name == name
        assert table.source
        assert table.description
    folder = Path(__file__).parents[2] / "curation" / "rules"
    for path in folder.rglob("*.yaml"):
        assert len(path.read_text("utf-8").splitlines()) <= 40


def test_the_thresholds_are_those_of_the_papers() -> None:
    """Gopher's Table A1 in its order, and the rules of quality."""
    table = load_table("gopher_repetition", Path())
    assert [rule.threshold for rule in table.rules][1:] == [
        0.3, 0.2, 0.3, 0.2, 0.2, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.1,
    ]  # fmt: skip
    table = load_table("gopher_quality", Path())
    assert [rule.threshold for rule in table.rules] == [
        50, 100_000, 3, 10, 0.1, 0.1, 0.9, 0.3, 0.8, 2,
    ]  # fmt: skip


def test_trap_fineweb_repeated_characters_are_001_as_in_the_code_that_ran() -> None:
    rules = {rule.reason: rule for rule in load_table("fineweb_quality", Path()).rules}
    assert rules["char_dup_ratio"].threshold == 0.01
    assert [rule.threshold for rule in rules.values()] == [0, 0.12, 0.67, 0.01, 0.3]


def test_trap_c4_paper_is_five_sentences() -> None:
    assert load_table("c4_paper", Path()).rules[-1].threshold == 5


def test_a_table_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.yml").write_text(f"name: mine\nrules:\n{ROW}", "utf-8")
    table = load_table("sub/mine.yml", tmp_path)
    assert table.rules == (
        Rule(signal="gopher.words", operator=">=", threshold=50, reason="short"),
    )


def test_an_unknown_name_is_answered_with_the_closest() -> None:
    with pytest.raises(Problem, match="did you mean `gopher_quality`") as error:
        load_table("gopher_qualty", Path())
    assert "fineweb_quality" in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"none\.yaml: cannot read"):
        load_table("none.yaml", tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(Problem, match=r"latin\.yaml: cannot read"):
        load_table("latin.yaml", tmp_path)
    with pytest.raises(Problem, match="cannot read"):
        load_table("./", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [mine", "not YAML"),
        (f"name: mine\nname: yours\nrules:\n{ROW}", "the key `name` in line 2 stands twice"),
        ("name: mine\nrules: !!python/object/apply:os.getcwd []", "not YAML"),
        ("", "the table: "),
        ("- a", "the table: "),
        (f"name: mine\nrules:\n{ROW}{ROW}", "rules[1].reason: `short` is the reason of rules[0]"),
        (f"name: mine\nrules:\n{ROW}sorce: x", "sorce: unknown key; did you mean `source`?"),
        ("name: mine\nrules: []", "rules: "),
        (f"name: Mine\nrules:\n{ROW}", "name: "),
        (f"name: mine\nrules:\n{ROW.replace('>=', '=>')}", "rules[0].operator: "),
        (
            f"name: mine\nrules:\n{ROW.replace('50', '{a: 1}')}",
            "rules[0].threshold: must be true or false, a number, a text or a list; this is",
        ),
        (f"name: mine\nrules:\n{ROW.replace('threshold', 'treshold')}", "did you mean `threshold`"),
        (f"name: mine\nrules:\n{ROW.replace('gopher.words', 'words')}", "rules[0].signal: "),
        ("name: mine\nrules:\n  - {signal: a.b}", "rules[0].threshold: is missing"),
        (group("any: [{A}, {A}]"), "rules[0].reason: is missing"),
        (group("any: [{A}], reason: x"), "rules[0].any: must have at least 2 entries"),
        (group("any: [{A}, {A}], all: [{A}, {A}], reason: x"), "rules[0].all: unknown key"),
        (group("any: [{A}, {{any: [{A}, {A}]}}], reason: x"), "rules[0].any[1]: `any` holds cond"),
        (
            group("any: [{A}, {A, reason: y}], reason: x"),
            "rules[0].any[1]: the whole group has one",
        ),
        (
            group("any: [{A}, {{all: [{A}, {{signl: a.b}}]}}], reason: x"),
            "rules[0].any[1].all[1].signl: unknown key; did you mean `signal`?",
        ),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)


def test_bundled_chains_load_and_each_table_is_a_chain_of_its_own() -> None:
    assert set(chain_names()) >= {
        "c4_code", "c4_paper", "dclm", "dolma", "fineweb", "fineweb2", "gopher", "refinedweb",
    }  # fmt: skip
    for name in chain_names():
        assert all(
            isinstance(step, EditStep | LanguagesStep) or isinstance(step.rules, RuleTable)
            for step in load_chain(name, Path("/nowhere")).chain
        )
    alone = load_chain("fineweb_quality", Path())
    assert alone.chain == (RulesStep(rules=load_table("fineweb_quality", Path())),)
    behind_its_edit = load_chain("refinedweb_lines", Path())
    assert behind_its_edit.chain[0] == EditStep(edit="refinedweb_lines")


def test_a_chain_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.yaml").write_text(f"name: mine\nrules:\n{ROW}", "utf-8")
    (tmp_path / "sub" / "chain.yaml").write_text(
        "chain: [{languages: {en: 0.5}}, {edit: ftfy}, {rules: mine.yaml}]", "utf-8"
    )
    chain = load_chain("sub/chain.yaml", tmp_path)
    assert chain.chain[0] == LanguagesStep(languages={"en": 0.5})
    assert chain.chain[2] == RulesStep(rules=load_table("sub/mine.yaml", tmp_path))
    assert load_chain("sub/mine.yaml", tmp_path).chain == chain.chain[2:]
    (tmp_path / "wrong.yaml").write_text("chian: []", "utf-8")
    with pytest.raises(
        Problem, match=r"wrong\.yaml: line 1: chian: unknown key; did you mean `chain`"
    ):
        load_chain("wrong.yaml", tmp_path)
    with pytest.raises(Problem, match="did you mean `refinedweb`"):
        load_chain("refinedwb", tmp_path)
    with pytest.raises(Problem, match=r"none\.yaml: cannot read the chain"):
        load_chain("none.yaml", tmp_path)


def test_trap_c4s_code_has_the_papers_numbers_the_other_way_round() -> None:
    assert load_table("c4_code", Path()).rules[-1].threshold == 3
    assert load_table("c4_paper", Path()).rules[-1].threshold == 5


def test_trap_dolmas_copied_lines_are_cut_at_three_tenths_of_the_characters() -> None:
    rules = {rule.reason: rule for rule in load_table("dolma", Path()).rules}
    assert rules["dup_line_characters"].threshold == 0.3
    assert {f"top_{n}_gram" for n in (2, 3, 4)} <= rules.keys()  # did not act there


def rules(*rows: tuple[str, object]) -> tuple[Rule, ...]:
    given = [
        {"signal": "a.b", "operator": operator, "threshold": threshold, "reason": f"r{number}"}
        for number, (operator, threshold) in enumerate(rows)
    ]
    return RuleTable.model_validate({"name": "t", "rules": given}).rules


def test_a_rule_states_what_must_hold() -> None:
    rows = rules((">", 2), (">=", 2), ("<", 2), ("<=", 2), ("==", 2), ("!=", 2))
    assert failing(rows, {"a.b": 2.0}) == ["r0", "r2", "r5"]
    assert failing(rows, {"a.b": 3.0}) == ["r2", "r3", "r4"]
    assert failing(rows, {"a.b": 1.0}) == ["r0", "r1", "r4"]


def test_membership_of_strings() -> None:
    rows = rules(("in", ("en", "de")), ("not in", ("fr",)))
    assert failing(rows, {"a.b": "en"}) == []  # type: ignore[dict-item]
    assert failing(rows, {"a.b": "fr"}) == ["r0", "r1"]  # type: ignore[dict-item]


def test_what_was_not_measured_decides_nothing() -> None:
    rows = rules((">", 2))
    values = pa.array([3.0, None, 1.0])
    assert holds(rows[0], {"a.b": values}).to_pylist() == [True, None, False]
    words = rules(("in", ("x",)), ("not in", ("x",)))
    values = pa.array(["x", None, "y"])
    assert holds(words[0], {"a.b": values}).to_pylist() == [True, None, False]
    assert holds(words[1], {"a.b": values}).to_pylist() == [False, None, True]
    with pytest.raises(KeyError, match=r"a\.b"):
        holds(rows[0], {})


def test_groups_hold_as_and_and_or() -> None:
    a, b, c = ({"signal": f"a.{name}", "operator": ">", "threshold": 0} for name in "abc")
    rows = RuleTable.model_validate(
        {
            "name": "t",
            "rules": [
                {"any": [a, b], "reason": "any"},
                {"all": [a, b], "reason": "all"},
                {"any": [a, {"all": [b, c]}], "reason": "any_all"},
                {"all": [a, {"any": [b, c]}], "reason": "all_any"},
            ],
        }
    ).rules
    for bits in range(8):
        x, y, z = (bool(bits & bit) for bit in (1, 2, 4))
        held = {
            "any": x or y, "all": x and y, "any_all": x or (y and z), "all_any": x and (y or z)
        }  # fmt: skip
        signals = {"a.a": float(x), "a.b": float(y), "a.c": float(z)}
        assert failing(rows, signals) == [name for name, value in held.items() if not value]


def test_a_group_decides_nothing_while_one_of_its_signals_is_null() -> None:
    a, b = ({"signal": f"a.{name}", "operator": ">", "threshold": 0} for name in "ab")
    rows = RuleTable.model_validate({"name": "t", "rules": [{"any": [a, b], "reason": "r"}]}).rules
    signals = {"a.a": pa.array([1.0, 1.0]), "a.b": pa.array([None, 0.0])}
    assert holds(rows[0], signals).to_pylist() == [None, True]
