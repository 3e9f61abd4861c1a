"""The one exception that means: the user's input is at fault, not the program."""

from __future__ import annotations


class UserError(Exception):
    """What is wrong with the input and what to do about it, in one plain sentence.

    The command line prints it after ``error:`` and exits with 2; a page shows it in a red box.
    Anything else that is raised is a bug.
    """


class Cancelled(Exception):
    """Raised inside long work after its ``cancelled()`` callable has returned True."""
