import pytest

from curation.extraction.resiliparse import main_text
from schemas.extract import Extract, Structure

TEXT = "The mill turns slowly, and the grain becomes flour. " * 10
PAGE = f"""<html><head><title>Mill</title></head><body><nav><a href=/>Home</a></nav>
<main><article><h1>Flour</h1><p>{TEXT}</p><ol><li>The rye is {TEXT}</ol>
<table><tr><td>Spelt<td>240</table>
<p>{TEXT}</p></article></main><div class="comments"><p>A reader says: {TEXT}</p></div>
<footer>Imprint and privacy</footer></body></html>"""


def text_of(**options):
    structure = Structure(**options.pop("structure", {}))
    return main_text(PAGE, Extract(engine="resiliparse", structure=structure, **options))


@pytest.mark.parametrize(
    ("options", "within", "without"),
    [
        ({}, ["turns slowly", "Spelt", "1. The rye"], ["Home", "A reader says", "Imprint"]),
        ({"comments": True}, ["turns slowly", "A reader says"], ["Home"]),
        ({"structure": {"tables": "none"}}, ["turns slowly"], ["Spelt"]),
        ({"structure": {"lists": False}}, ["The rye"], ["1."]),
        ({"favor": "recall"}, ["turns slowly", "Home", "Imprint"], []),
    ],
)
def test_options_are_heeded(options, within, without):
    text = text_of(**options)
    for part in within:
        assert part in text
    for part in without:
        assert part not in text


def test_no_text_is_empty():
    options = Extract(engine="resiliparse")
    for html in ("", "<html></html>", "<script>x</script>"):
        assert not main_text(html, options).strip()


def test_indentation_is_bounded():
    page = "<main>" + "<ol><li>flour" * 300 + f"<p>{TEXT}</p></main>"
    text = main_text(page, Extract(engine="resiliparse", favor="recall"))
    assert text.count("flour") > 300
    assert len(text) < 2 * len(page)
