"""Writes `cases.jsonl`: short texts that are hateful, or only look so, from templates.

    python tests/data/toxicity/make_cases.py

A template is filled with each group of people in its turn, so that every kind names every group.
"""

import json
from itertools import cycle
from pathlib import Path

# plural, one of them
GROUPS = (
    ("women", "woman"),
    ("Muslims", "Muslim"),
    ("immigrants", "immigrant"),
    ("gay people", "gay person"),
    ("black people", "black person"),
    ("disabled people", "disabled person"),
    ("Jews", "Jew"),
)

# kind: (toxic, times each template is filled, templates)
KINDS = {
    "derogation": (
        True,
        3,
        (
            "I cannot stand {many}, they make me sick.",
            "{Many} are lazy, dirty and dishonest.",
            "You can never trust a {one}.",
            "Every {one} I ever met was a waste of air.",
            "{Many} are far less clever than the rest of us.",
            "I loathe {many} with all my heart.",
        ),
    ),
    "dehumanisation": (
        True,
        4,
        (
            "{Many} are vermin and nothing else.",
            "A {one} is no better than a rat.",
            "{Many} spread through our towns like a disease.",
            "{Many} are animals, not humans.",
        ),
    ),
    "threat": (
        True,
        4,
        (
            "One day I will beat up a {one}.",
            "Somebody ought to shoot all these {many}.",
            "{Many} will get what they deserve, and it will hurt.",
            "If a {one} moves in here I burn the house down.",
        ),
    ),
    "exclusion": (
        True,
        4,
        (
            "Throw all {many} out of the country.",
            "{Many} should never be allowed to vote.",
            "{Many} do not belong here, get rid of them.",
        ),
    ),
    "profanity that is hate": (
        True,
        4,
        (
            "Fucking {many}, I hate every one of them.",
            "{Many} are full of shit, all of them.",
            "What a bloody {one}, they are all the same scum.",
        ),
    ),
    "negated praise": (
        True,
        4,
        (
            "No {one} is worth anything.",
            "{Many} have never done a decent thing.",
            "I have never met a {one} with a brain.",
        ),
    ),
    "question": (
        True,
        3,
        (
            "Why do we let {many} live among us at all?",
            "Does anybody else think that {many} are disgusting?",
        ),
    ),
    "the next sentence": (
        True,
        3,
        (
            "My street is full of {many}. They are filthy parasites.",
            "There was a {one} on the bus. I hate that kind so much.",
        ),
    ),
    "leet": (True, 3, ("{Many} are d1sgust1ng v3rmin.", "I h4te {many}, they are 5cum.")),
    "spaces inside words": (
        True,
        3,
        ("{Many} are d i s g u s t i n g.", "I h a t e all {many}.", "{Many} are v e r m i n."),
    ),
    "spaces left out": (True, 3, ("Ihateall {many}.", "{Many} aredisgusting vermin.")),
    "characters left out or too many": (
        True,
        3,
        ("{Many} are disgustng vermn.", "I haaate {many}, filthyy scummm."),
    ),
    "neutral": (
        False,
        4,
        (
            "A {one} lives two doors down from us.",
            "Half of the members of our choir are {many}.",
            "The museum has a new exhibition about {many}.",
            "My teacher is a {one}.",
        ),
    ),
    "praise": (
        False,
        4,
        (
            "I really like {many}.",
            "{Many} are great company, all of them.",
            "We are lucky to have so many {many} in our town.",
            "She is a {one} and I admire her.",
        ),
    ),
    "negated hate": (
        False,
        4,
        (
            "I do not hate {many}.",
            "Nobody should ever hurt a {one}.",
            "{Many} are not vermin, they are our neighbours.",
            "It is wrong to say that {many} are lazy.",
        ),
    ),
    "quoted and answered": (
        False,
        4,
        (
            'You wrote "{many} are vermin", and you should be ashamed of it.',
            'Saying "throw all {many} out" is cruel and stupid.',
            'Whoever shouts "I hate {many}" at a match is banned for life.',
        ),
    ),
    "counter speech": (
        False,
        4,
        (
            "Stop blaming {many} for everything that goes wrong.",
            "People who insult {many} have no place in this club.",
            "Hatred of {many} is a disgrace, and we will fight it.",
        ),
    ),
    "profanity that is no hate": (
        False,
        1,
        (
            "This soup is fucking great.",
            "Oh shit, I left my keys on the damn bus.",
            "What the hell happened to the weather?",
            "I worked my ass off and we bloody won.",
            "Holy crap, that concert was awesome.",
            "Damn, I am so fucking tired today.",
            "Shit happens, we will try again tomorrow.",
            "That was a hell of a good goal.",
        ),
    ),
    "anger at things": (
        False,
        1,
        (
            "I hate Mondays with all my heart.",
            "This printer is trash, I want to throw it out of the window.",
            "Cold coffee is disgusting.",
            "I loathe this song, it makes me sick.",
            "Mosquitoes are vermin and nothing else.",
            "My old car is a worthless piece of junk.",
            "Weeds spread through our garden like a disease.",
            "Kill the process and burn the disc again.",
        ),
    ),
    "anger at somebody": (
        False,
        1,
        (
            "You are a liar and I never want to see you again.",
            "My landlord is a lazy crook.",
            "The referee was an idiot tonight.",
            "Bankers are greedy, all of them.",
            "Politicians have never done a decent thing.",
            "Telephone salesmen make me sick.",
        ),
    ),
}


def cases():
    """Every case, as a row."""
    groups = cycle(GROUPS)
    for kind, (toxic, times, templates) in KINDS.items():
        for template in templates:
            for _ in range(times):
                many, one = next(groups)
                text = template.format(many=many, Many=many[0].upper() + many[1:], one=one)
                yield {"text": text, "toxic": toxic, "functionality": kind}


if __name__ == "__main__":
    with Path(__file__).with_name("cases.jsonl").open("w", encoding="utf-8") as out:
        for number, case in enumerate(cases()):
            out.write(json.dumps({"id": f"case-{number}", **case}) + "\n")
