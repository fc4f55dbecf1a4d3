"""`python -m train`, also what torchrun starts on every rank."""

import sys

from train.cli import main
from train.commands import COMMANDS, run

if __name__ == "__main__":
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        sys.exit(run(words[0], words[1:]))
    sys.exit(main(words))
