"""Personal data in texts: found, with its place, type and score, and replaced by a policy.

What is found, and what it becomes, depends on the text and the settings alone: no network, no
state. One pass over a text finds the places where an entity could begin; recognizers look at
nothing else.
"""

from curation.pii.finding import TYPES, Finder, Pattern, find
from curation.pii.policies import POLICIES, STAND_INS, Redacted, Redactor, replace
from curation.pii.spans import Span

VERSION = 3  # raise it when what is found, or what it becomes, changes
LIBRARIES = ("phonenumbers", "presidio-analyzer", "tldextract")

__all__ = [
    "LIBRARIES",
    "POLICIES",
    "STAND_INS",
    "TYPES",
    "VERSION",
    "Finder",
    "Pattern",
    "Redacted",
    "Redactor",
    "Span",
    "find",
    "replace",
]
