"""Errors that are for the person who must act."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend: the message names the file or key and says what to do.

    The command line prints the message without a traceback and exits with status 2.
    """
