import gzip
import json
from collections import Counter

import pytest

from curation.extraction import Extractor, quick
from curation.extraction.charset import decode
from curation.extraction.resiliparse import main_text
from curation.language import FIRST, SECOND, Languages, bundled
from curation.readers import Record
from curation.readers.warc import read_warc
from schemas.extract import Extract
from tests.benchmarks import crawl_stream
from tests.conftest import REPOSITORY
from tests.timing import within

GERMAN = (
    "Die Mühle dreht sich langsam, und aus dem Korn wird über Nacht feines Mehl gemahlen.",
    "Der Müller prüft jeden Sack, bevor er ihn am Morgen zum Bäcker in die Stadt bringt.",
    "Früher standen an diesem Fluss elf Mühlen, von denen heute nur noch zwei arbeiten.",
    "Wer möchte, kann sonntags zusehen, wie das große Rad vom Wasser angetrieben wird.",
)
ENGLISH = (
    "The mill turns slowly, and during the night the grain is ground to a fine white flour.",
    "The miller looks at every sack before he takes it to the baker's shop in the town.",
    "There used to be eleven mills along this river, of which only two are still at work.",
    "On Sundays whoever wants to may watch how the great wheel is driven by the water.",
)
RUSSIAN = (
    "Мельница вращается медленно, и за ночь зерно превращается в тонкую белую муку.",
    "Мельник осматривает каждый мешок, прежде чем отвезти его пекарю в соседний город.",
    "Раньше на этой реке стояло одиннадцать мельниц, из которых работают только две.",
    "По воскресеньям каждый может посмотреть, как вода приводит в движение колесо.",
)


@pytest.fixture(scope="module")
def languages():
    return Languages(REPOSITORY / "curation/models/lid.176.ftz")


def junk(payload):
    return quick.junk(payload)


def surely_other(payload, wanted, languages):
    return quick.surely_other(payload, wanted, languages)


def page(texts, charset="utf-8", head=""):
    body = "".join(f"<p>{text}</p>\n" for text in texts)
    html = f"<html><head><title>x</title>{head}</head><body>{body}</body></html>"
    return html.encode(charset)


# Ganda, which the model does not know.
GANDA = (
    "Abaana bonna basaanye okusomesebwa mu masomero ag'omulembe buli mwaka mu kibuga Kampala.",
    "Omusomesa yagambye nti abayizi basobola okukola ebibuuzo byabwe nga bamaze okusoma ebitabo.",
    "Gavumenti etegese okuzimba enguudo empya ezinaagatta ebyalo byonna n'ebibuga ebinene.",
    "Abalimi balina okulima emmere ennyingi okusobola okuliisa amaka gaabwe n'okufuna ensimbi.",
)
CYRILLIC = '<meta charset="windows-1251">'
LATIN = '<meta charset="iso-8859-1">'


@pytest.mark.parametrize(
    ("payload", "wanted", "other"),
    [
        (page(GERMAN), {"en"}, "de"),
        (page(GERMAN), {"en", "de"}, None),
        (page(ENGLISH), {"en"}, None),
        (page(ENGLISH), {"de", "ru"}, "en"),
        (page(GERMAN, "cp1252", LATIN), {"en"}, "de"),
        (page(GERMAN, "cp1252"), {"en"}, None),  # its charset is not known
        (page(RUSSIAN, "cp1251", CYRILLIC), {"en"}, "ru"),
        (page(RUSSIAN, "cp1251", CYRILLIC), {"ru"}, None),
        (page(RUSSIAN, "cp1251"), {"ru"}, None),
        (page(RUSSIAN, "koi8-r"), {"en"}, None),
        (page(RUSSIAN, "utf-16"), {"en"}, None),
        (page(RUSSIAN), {"uk"}, None),  # near
        (
            "".join(f"<p>{t}</p>" for t in RUSSIAN).encode("ascii", "xmlcharrefreplace"),
            {"en"},
            "ru",
        ),
        (page([*GERMAN, ENGLISH[0]]), {"en"}, None),  # some of it is wanted
        (page([*GANDA, ENGLISH[0]]), {"en"}, None),
        (page(GANDA[:3]), {"en"}, None),
        (page(GERMAN[:1]), {"en"}, None),  # too little to tell
        (b"", {"en"}, None),
        (b"<p>" * 100_000, {"en"}, None),
        (bytes(range(256)) * 1000, {"en"}, None),
        (b"<p>" + b"x" * 300_000 + b"</p>", {"en"}, None),
    ],
)
def test_language_of_bytes(payload, wanted, other, languages):
    found = surely_other(payload, frozenset(wanted), languages)
    assert (found and found[0]) == other


def test_what_the_model_does_not_know_is_not_what_it_does(languages):
    """Its opinions are weak, and none is the wanted language."""
    opinions = languages.identify(list(GANDA))
    assert sum(score >= 0.4 for _, score in opinions) < 3
    assert surely_other(page(GANDA), frozenset({"en"}), languages)
    assert surely_other(page(GANDA), frozenset({"de"}), languages)
    assert surely_other(page(GANDA), frozenset({opinions[0][0]}), languages) is None


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [("en", "other_language"), ("ru", "other_language"), ("nb", "other_language"), ("zu", None)],
)
def test_only_what_the_first_model_finds_is_looked_for(wanted, reason):
    """With a second opinion too, by lid.176: it has no Zulu, and would lose all of it."""
    both = Languages(bundled(FIRST), bundled(SECOND))
    extractor = Extractor(Extract(languages=(wanted,)), None, both)
    html = page(GERMAN)
    record = Record(0, len(html), 0, "response", None, None, 200, "text/html", "utf-8", html)
    found = extractor.first(record)
    assert (found and found.reason) == reason


SHELL = b"<html><head><title>App</title></head><body><div id=root></div>%b</body></html>"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (page(ENGLISH), None),
        (page(["Hello."]), None),
        (SHELL % b"<script>let text = 1</script><!-- a --><style>b</style>", "junk_no_text"),
        (SHELL % b"<script>" * 9, "junk_no_text"),
        (SHELL % (b"<script>" + b"x" * 300_000 + b"</script>"), "junk_no_text"),
        (SHELL % "вода".encode("utf-16-le"), None),
        (SHELL % "Привет".encode("cp1251"), None),
        (
            SHELL % b"<noscript>You need to enable JavaScript to run this app.</noscript>",
            "junk_needs_script",
        ),
        (page([*ENGLISH * 4, "You need to enable JavaScript to comment."]), None),
        (
            b'<meta http-equiv="Refresh" content="0; URL=/en"><p>You are being redirected.',
            "junk_redirect",
        ),
        (b"<frameset><frame src=a><noframes>No frames here.</noframes>", "junk_frames"),
        (b"<title>404 Not Found</title><h1>Not Found</h1><p>nginx", "junk_error_page"),
        (page(ENGLISH * 5).replace(b"<title>x", b"<title>404 Not Found"), None),
        (b"%PDF-1.7\n" + bytes(99), "junk_binary"),
        (b"", "junk_no_text"),
    ],
)
def test_junk(payload, reason):
    found = junk(payload)
    assert (found and found[0]) == reason


@pytest.mark.parametrize(
    "piece",
    [
        *(
            b"<title",
            b"<meta http-equiv=refresh ",
            b"<script>",
            b"<!--",
            b"<",
            b">",
            b"> x",
            b"&nbsp;",
        ),
        *(
            b"<title>404 ",
            b"<svg></script",
            b"<frameset",
            b"&#",
            b"enable ",
            b"\xff>",
            b"javascript ",
        ),
    ],
)
def test_time_is_linear(piece, languages):
    payload = piece * ((4 << 20) // len(piece))
    with within(2):
        junk(payload)
        surely_other(payload, frozenset(["en"]), languages)


@pytest.mark.corpus
def test_quick_look_is_safe(corpus, languages):
    """Of pages whose extracted text is in a wanted language, at most .2% are rejected, and no page
    with a main text is junk."""
    lost, wanted, caught, other = Counter(), Counter(), Counter(), Counter()
    options = Extract(engine="resiliparse")
    for name in ("trafilatura-eval-00001", "charsets-00001", "wcxb-00002"):
        path = corpus / f"web/{name}.warc.gz"
        gold = path.with_name(name.rpartition("-")[0] + ".gold.jsonl.gz")
        with gzip.open(gold, "rt", encoding="utf-8") as lines:
            texts = {row["record_id"]: row["main_text"] for row in map(json.loads, lines)}
        assert texts
        with path.open("rb") as stream:
            items = read_warc(stream, 0, path.stat().st_size, max_record_bytes=9 << 20)
            found = [item for item in items if item.kind == "response"]
        for record in found[:: 4 if name.startswith("traf") else 2]:
            html, _ = decode(record.payload, record.charset)
            text = main_text(html, options)
            if junk(record.payload):
                assert len(text) < 200
            ((language, score),) = languages.identify([text])
            if score < 0.65:
                continue
            for one in ("en", "de"):
                rejected = surely_other(record.payload, frozenset([one]), languages)
                if language == one:
                    wanted[one] += 1
                    lost[one] += rejected is not None
                else:
                    other[one] += 1
                    caught[one] += rejected is not None
    assert wanted["en"] > 130
    assert wanted["de"] > 130
    assert lost.total() == 0
    assert caught["en"] > 0.8 * other["en"]
    assert caught["de"] > 0.85 * other["de"]


@pytest.mark.corpus
def test_stream_of_a_crawl(corpus, languages):
    """Most of what a crawl has is seen by a quick look, and nothing that is wanted goes."""
    seen, all_, sizes = Counter(), Counter(), []
    for item in crawl_stream.stream(crawl_stream.sources(corpus), 200, 1):
        if item.status != 200 or not item.content_type.startswith("text/html"):
            continue
        sizes.append(len(item.payload))
        found = junk(item.payload) or surely_other(item.payload, frozenset(["en"]), languages)
        all_[item.kind] += 1
        seen[item.kind] += found is not None
    assert 60_000 < sorted(sizes)[len(sizes) // 2] < 100_000
    # one has its text in a `meta` element alone
    assert seen["english"] == 1
    assert seen["spam"] <= 1
    assert seen["other"] > 0.8 * all_["other"]
    assert seen["binary"] == all_["binary"] > 0
    assert seen["redirect"] == all_["redirect"] > 0


@pytest.mark.parametrize(
    "script",
    [
        '<script id="__NEXT_DATA__" type="application/json">{}</script>',
        "<script>window.__NUXT__=(function(a){return {}}(1))</script>",
        "<script>window.__APOLLO_STATE__ = {}</script>",
        '<script type="application/ld+json">{"articleBody": ""}</script>',
    ],
)
def test_a_text_may_be_in_a_script(script):
    bare = "<html><body><noscript>Please enable JavaScript.</noscript>{}</body></html>"
    assert junk(bare.format("").encode())[0] == "junk_needs_script"
    assert junk(bare.format(script).encode()) is None
