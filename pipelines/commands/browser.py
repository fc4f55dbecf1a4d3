"""The terminal browser of `gristmill inspect`."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import DataTable, Footer, Input, Static

from pipelines.look.browse import ROWS, SHOWN, count, detail, documents
from pipelines.look.display import visible
from pipelines.run import Run
from schemas.problems import Problem


class Browser(App[None]):
    """A field for an SQL expression, the documents for which it holds, and the one at hand."""

    CSS = "DataTable { width: 45%; } #told { padding: 0 1; } #state { height: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        ("slash", "ask", "filter"),
        ("escape", "list", "list"),
        ("n", "turn(1)", "next page"),
        ("p", "turn(-1)", "page before"),
        ("q", "quit", "quit"),
    ]

    def __init__(self, look: Run, where: str = "", *, raw: bool = False) -> None:
        """`where`: the first expression; `raw`: personal data is shown."""
        super().__init__()
        self._look, self._where, self._raw, self._skip = look, where, raw, 0

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        yield Input(
            self._where, placeholder="SQL: reason = 'gopher_short_doc'", select_on_focus=False
        )
        with Horizontal():
            yield DataTable(cursor_type="row", zebra_stripes=True)
            with VerticalScroll():
                yield Static(id="told", markup=False)
        yield Static(id="state", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Show the first page."""
        self.query_one(DataTable).add_columns(*SHOWN)
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take a new expression."""
        self._where, self._skip = event.value, 0
        self._show()

    def action_ask(self) -> None:
        """Go to the expression."""
        self.query_one(Input).focus()

    def action_list(self) -> None:
        """Go to the documents."""
        self.query_one(DataTable).focus()

    def action_turn(self, pages: int) -> None:
        """Show another page."""
        self._skip = max(0, self._skip + pages * ROWS)
        self._show()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the document at hand."""
        if event.row_key.value:
            told = detail(self._look, event.row_key.value, raw=self._raw)
            self.query_one("#told", Static).update(told)

    def _show(self) -> None:
        table, state = self.query_one(DataTable), self.query_one("#state", Static)
        try:
            total = count(self._look, self._where)
            self._skip = self._skip if self._skip < total else 0
            rows = documents(self._look, self._where, self._skip)
        except Problem as problem:
            state.update(visible(str(problem)))
            return
        table.clear()
        self.query_one("#told", Static).update("")
        for row in rows:
            cells = (visible(" ".join(str(row[name] or "").split())) for name in SHOWN)
            table.add_row(*cells, key=row["id"])
        last = self._skip + len(rows)
        state.update(f"{self._skip + bool(rows):,} to {last:,} of {total:,} documents")
        table.focus()
