import random
import re

from curation.extraction.tags import controls

CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ufffd]")
ODD = [*map(chr, range(0x200)), *"\ufffd\uffbd\ufeff\u2085\ufffcﾽ俾\U0001f600"]
PLAIN = [*map(chr, range(20, 140))]


def test_controls_are_counted_wherever_they_stand():
    rng = random.Random(1)
    many = 0
    for _ in range(5000):
        text = "".join(rng.choices(rng.choice((ODD, PLAIN)), k=rng.randrange(40)))
        assert controls(text.encode()) == len(CONTROLS.findall(text))
        many += controls(text.encode())
    assert many > 5000
