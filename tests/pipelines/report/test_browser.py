"""The page as a browser has it: `make test-browser`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.report.report import write_report

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("GRISTMILL_CHROMIUM") or shutil.which("chromium")
# axe-core's script, MPL-2.0: looked for where `make test-browser` installs it
AXE = Path(os.environ.get("GRISTMILL_AXE", ".browser/node_modules/axe-core/axe.min.js"))
MOST_BYTES = 5_000_000
# What a script of strangers would do first, and what a page must never try.
WATCH = """
window.done = [];
for (const name of ["alert", "confirm", "prompt"])
  window[name] = (what) => done.push(`${name} ${what}`);
addEventListener("securitypolicyviolation", (event) =>
  done.push(`violates ${event.violatedDirective}`));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium: install it, or name it in GRISTMILL_CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is missing")
    with sync_api.sync_playwright() as playwright:
        # a container's root has no namespace of its own to put a sandbox into
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def written(finished: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_report(finished, str(folder), finished)
    return folder / "index.html"


class Opened:
    """The page in a window of its own, and all that it said and asked for."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_context(**options).new_page()
        self.page.add_init_script(WATCH)
        self.page.on("console", lambda told: self.said.append(told.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.goto(path.as_uri())

    def has(self, script: str, given: Any = None) -> Any:
        return self.page.evaluate(script, given)


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Opened]:
    found = Opened(browser, written)
    yield found
    found.page.context.close()


def test_it_renders_alone_and_quietly(opened: Opened, written: Path) -> None:
    assert opened.said == []
    assert opened.has("done") == []
    assert opened.asked == [written.as_uri()]
    assert written.stat().st_size < MOST_BYTES


def test_plots_are_drawn(opened: Opened) -> None:
    boxes = opened.has("""[...document.querySelectorAll("[data-plot]")].map(box => ({
        name: box.dataset.plot, height: box.clientHeight,
        shapes: box.querySelectorAll("svg path, svg rect, svg text").length,
        called: box.getAttribute("aria-label")}))""")
    names = {box["name"] for box in boxes}
    assert {"flow", "mixture", "clusters", "costs", "signal-0", "sites", "survival"} <= names
    assert {"by-length", "time"} <= names
    for box in boxes:
        assert box["height"] > 100 or box["name"] not in ("flow", "clusters"), box
        assert box["shapes"] > 2, box
        assert box["called"], box
    flow = opened.page.locator("[data-plot=flow] svg").text_content()
    assert "records 19" in flow


def test_a_tooltip_tells_a_count(opened: Opened) -> None:
    box = opened.page.locator("[data-plot=flow]")
    box.scroll_into_view_if_needed()
    before = box.locator("svg").text_content()
    box.hover(position={"x": 8, "y": 40})
    opened.page.wait_for_function(
        "before => document.querySelector('[data-plot=flow] svg').textContent !== before",
        arg=before,
    )
    assert "(100% of all)" in box.locator("svg").text_content()


def test_filters_show_what_is_asked_for(opened: Opened) -> None:
    page = opened.page
    rows = page.locator("#reasons tbody tr")
    every = rows.count()
    page.get_by_label("Show reasons with").nth(1).fill("STOP")
    shown = [row.text_content() for row in rows.all() if row.is_visible()]
    assert 0 < len(shown) < every
    assert all("stop" in text.lower() for text in shown)
    assert page.locator("section:has(#rules) output").inner_text() == f"{len(shown)} of {every}"
    page.get_by_label("Show signals with").fill("stop_words")
    assert page.locator(".panel:visible").count() == 1
    samples = page.locator(".sample")
    page.get_by_label("Show samples with").fill("evil.example")
    visible = page.locator(".sample:visible")
    assert 0 < visible.count() < samples.count()
    assert all("evil.example" in text for text in visible.all_text_contents())
    assert page.locator("#shown-samples").inner_text() == f"{visible.count()} shown"
    page.locator("select[data-samples=reason]").select_option("status")
    assert [text.count("evil.example/gone") for text in visible.all_text_contents()] == [1]
    page.get_by_label("Show samples with").fill("")
    page.locator("select[data-samples=reason]").select_option("")
    page.locator("select[data-samples=source]").select_option("other-web_2.0")
    assert visible.count() > 0
    assert {each.get_attribute("data-source") for each in visible.all()} == {"other-web_2.0"}


def test_a_signal_can_be_seen_larger(opened: Opened) -> None:
    panel = opened.page.locator(".panel").first
    before = panel.locator("svg").bounding_box()
    panel.get_by_role("button", name="larger").click()
    after = panel.locator("svg").bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] > 2 * before["width"]
    assert panel.get_by_role("button").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(browser: Any, written: Path, scheme: str) -> None:
    if not AXE.is_file():
        pytest.skip("no axe-core: `make test-browser` installs it")
    found = Opened(browser, written, color_scheme=scheme, bypass_csp=True)
    background = found.has("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    for details in found.page.locator("details").all():
        details.evaluate("each => { each.open = true }")
    found.page.add_script_tag(path=str(AXE))
    faults = [
        f"{fault['id']}: {node['html']} {node['failureSummary']}"
        for fault in found.has("axe.run()")["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
    assert faults == []
    found.page.context.close()


def test_strangers_do_nothing(opened: Opened) -> None:
    """All their text is opened, hovered and filtered by; nothing of it runs or becomes markup."""
    page = opened.page
    for details in page.locator("details").all():
        details.evaluate("each => { each.open = true }")
    for plot in page.locator("[data-plot]").all():
        plot.hover()
    page.get_by_label("Show samples with").fill("<img src=x onerror=alert(1)>")
    assert page.locator(".sample:visible").count() > 0
    page.wait_for_timeout(200)
    assert opened.has("done") == []
    assert opened.said == []
    assert len(opened.asked) == 1
    tags = opened.has("[...document.querySelectorAll('*')].map(each => each.localName)")
    assert not set(tags) & {"img", "iframe", "object", "embed", "base", "form", "link", "h5"}
    assert (tags.count("script"), tags.count("h1")) == (3, 1)
    handlers = opened.has("""[...document.querySelectorAll("*")].flatMap(each =>
        [...each.attributes].map(one => one.name).filter(name => name.startsWith("on")))""")
    assert handlers == []
    links = opened.has("[...document.querySelectorAll('[href]')].map(e => e.getAttribute('href'))")
    assert all(link.startswith("#") for link in links)
    text = page.locator("#all-samples").text_content()
    for payload in ("<svg/onload=alert(3)>", "</script><script>alert(2)", "onerror=alert(8)>"):
        assert payload in text
    # the policy would stop what got through
    assert opened.has("""() => { const made = document.createElement("script");
        try { made.textContent = "done.push(1)"; } catch (error) { return error.name; } }""") == (
        "TypeError"
    )


def test_all_is_there_without_scripts(browser: Any, written: Path) -> None:
    found = Opened(browser, written, java_script_enabled=False)
    assert found.said == []
    page = found.page
    assert page.locator("[data-plot]:visible").count() == 0
    assert page.locator(".filter:visible").count() == 0
    assert page.locator("#fates tbody tr").count() > 10
    assert page.locator(".panel details.numbers table").count() == page.locator(".panel").count()
    page.locator(".panel details.numbers summary").first.click()
    assert page.locator(".panel table:visible").count() == 1
    page.locator("#all-samples summary").first.click()
    assert page.locator("#all-samples details .sample:visible").count() > 0
    page.context.close()


def test_it_prints_in_the_colours_of_paper(browser: Any, written: Path, tmp_path: Path) -> None:
    found = Opened(browser, written, color_scheme="dark")
    found.page.emulate_media(media="print", color_scheme="dark")
    assert found.has("getComputedStyle(document.body).color") == "rgb(28, 33, 39)"
    printed = found.page.pdf(print_background=True)
    assert printed.startswith(b"%PDF")
    assert found.has("document.documentElement.classList.contains('print')") is False
    found.page.context.close()


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_no_width_makes_the_page_scroll_sideways(browser: Any, written: Path, width: int) -> None:
    found = Opened(browser, written, viewport={"width": width, "height": 900})
    assert found.has("document.documentElement.scrollWidth") <= width
    found.page.context.close()
