"""The error family. Every error is one sentence that names the place it speaks of."""

import difflib


class Error(Exception):
    """Base of all errors minicaffe raises on bad input; tools print it as `error: ...` and exit 1."""


class ParseError(Error):
    """A text file is not a valid prototxt; the message begins with file:line:column."""


class FileError(Error):
    """A file is missing, unreadable, unwritable, truncated or of another format."""


class WeightsError(FileError):
    """A weights or solver state file does not fit the net it is loaded into."""


class DataError(FileError):
    """A data set can't be read, or its contents contradict each other."""


class LayerError(Error):
    """A layer's parameters, bottoms or tops contradict each other; names place, layer and type."""


class NetError(Error):
    """The layers of a net don't fit together (unknown bottom, blob made twice, cycle ...)."""


class SolverError(Error):
    """A solver's parameters contradict each other or its nets."""


class DivergedError(SolverError):
    """While a solver trained, its loss was not finite."""


class BackendError(Error):
    """The requested device or an optional package is not there."""


def unknown(what, name, known):
    """The sentence for a name that is none of `known`: with the closest one, or with all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "known are " + ", ".join(sorted(known))
    return f"unknown {what} '{name}': {hint}"
