"""`python -m train`, also what torchrun starts on every rank."""

import sys

from train.cli import main

if __name__ == "__main__":
    sys.exit(main())
