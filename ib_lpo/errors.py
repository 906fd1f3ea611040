"""Errors a user can mend: the command line prints their message, one line per problem, and no traceback."""


class UserError(Exception):
    """Something outside the code is wrong. The message has one line per problem: what, where, how to fix."""
