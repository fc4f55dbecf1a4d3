"""`gristmill inspect`: documents by expressions, in a terminal."""

import asyncio
import re
from pathlib import Path

import pytest
from textual.widgets import DataTable, Input, Static

from pipelines.commands.inspect import browser
from pipelines.commands.main import parser
from pipelines.look import browse
from pipelines.run import Run
from schemas.problems import Problem

MAIL = re.compile(r"[\w.]+@(?!example\.(com|org))[\w-]+\.[a-z]{2,}")


@pytest.fixture(scope="module")
def run(finished: Path) -> Run:
    """The run of the demo."""
    return Run.open(str(finished))


def test_documents_by_expressions(run: Run) -> None:
    assert browse.count(run) == 99
    rejected = run.ledger["filter"]["rejected"]
    for reason, number in rejected.items():
        assert browse.count(run, browse.condition(reason=reason)) == number
    rows = browse.documents(run, '"gopher.alpha_words" BETWEEN .75 AND .8')
    assert rows
    assert all(row["fate"] != "kept" for row in rows)
    assert browse.count(run, browse.condition(domain="LibSyn.com", source="web")) == 1
    assert browse.count(run, browse.condition(domain="syn.com")) == 0
    assert browse.count(run, browse.condition(source="x' OR 'a' = 'a")) == 0
    every = browse.documents(run)
    assert browse.documents(run, skip=40, rows=10) == every[40:50]
    for wrong in ("nothing = 1", "true) --", "true); DROP VIEW documents; SELECT (1"):
        with pytest.raises(Problem):
            browse.count(run, wrong)


def test_personal_data_is_shown_only_if_asked_for(run: Run) -> None:
    with_mail = [
        row["id"]
        for batch in run.documents("extract", ["id", "text"])
        for row in batch.to_pylist()
        if MAIL.search(row["text"])
    ]
    shown = {id_: browse.detail(run, id_, raw=True) for id_ in with_mail}
    found = [id_ for id_, text in shown.items() if MAIL.search(text)]
    assert found
    for id_ in found:
        assert not MAIL.search(browse.detail(run, id_))


def test_the_browser(finished: Path) -> None:
    options = parser().parse_args(["inspect", str(finished), "--reason", "curly_bracket"])
    app = browser(options)

    async def use() -> None:
        async with app.run_test(size=(140, 40)) as pilot:
            table, told = app.query_one(DataTable), app.query_one("#told", Static)
            state = app.query_one("#state", Static)
            await pilot.pause()
            assert table.row_count == 2
            assert "rejected by filter: curly_bracket" in str(told.render())
            assert "failed       curly_bracket" in str(told.render())
            await pilot.press("slash")
            app.query_one(Input).value = "fate ="
            await pilot.press("enter")
            await pilot.pause()
            assert "query" in str(state.render())
            assert table.row_count == 2
            app.query_one(Input).value = "stage IS NULL"
            await pilot.press("enter")
            await pilot.pause()
            assert str(state.render()) == "1 to 53 of 53 documents"
            first = str(told.render())
            await pilot.press("down")
            await pilot.pause()
            assert str(told.render()) != first
            assert "in the train" in str(told.render()) or "validation" in str(told.render())
            await pilot.press("q")

    asyncio.run(use())
    with pytest.raises(Problem):
        browser(parser().parse_args(["inspect", str(finished), "--where", "1 = "]))
