from datetime import date

import pytest

from curation.extraction import dates


@pytest.mark.parametrize(
    "text",
    [
        "2025-03-07",
        "2025/3/7",
        "20250307",
        "2025-03-07T23:10:00Z",
        "2025年3月7日",
        "2025년 3월 7일",
        "07.03.2025",
        "7. 3. 2025, 10 Uhr",
        "am 7.3.25",
        "7 March 2025",
        "Fri, 7-Mar-2025",
        "Mar. 7th, 2025",
        "7. März 2025",
        "7 mars 2025",
        "7 de marzo de 2025",
        "7 de março de 2025",
        "7 marzo 2025",
        "7 maart 2025",
        "7. marts 2025",
        "7 marca 2025",
        "7. března 2025",
        "7. maaliskuuta 2025",
        "7 марта 2025",
        "7 Mart 2025",
    ],
)
def test_one_day(text):
    assert dates.first(text) == date(2025, 3, 7)


@pytest.mark.parametrize(
    ("text", "language", "day"),
    [
        ("03/07/2025", None, None),
        ("03/07/2025", "en", None),
        ("03/07/2025", "en-US", date(2025, 3, 7)),
        ("03/07/2025", "en-GB", date(2025, 7, 3)),
        ("03/07/2025", "fr", date(2025, 7, 3)),
        ("03-07-2025", "nl", date(2025, 7, 3)),
        ("03/17/2025", "fr", date(2025, 3, 17)),
        ("17/03/2025", "en-US", date(2025, 3, 17)),
        ("03/03/2025", None, date(2025, 3, 3)),
        ("30.02.2025", None, None),
        ("7 Flour 2025", None, None),
        ("March 2025", None, None),
        ("1.2.3.2025", None, None),
        ("version 10.11.1989", None, None),
        ("2025", None, None),
        (" " * 300 + "2025-03-07", None, None),
    ],
)
def test_doubt(text, language, day):
    assert dates.first(text, language) == day
