"""Text files: .prototxt nets and solvers, with errors that say file:line:column."""

import difflib
import re

from google.protobuf import text_format

from ..errors import FileError, ParseError
from ..files import atomic_write
from .base import CONTROL, describe, read_bytes
from .caffe_pb2 import DESCRIPTOR, NetParameter, SolverParameter

# comments and strings (which may hold braces), names, braces
TOKEN = re.compile(r"""
    \#.* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | \w+ | [{}<>]""", re.VERBOSE)
NO_FIELD = re.compile(r'Message type "caffe\.(?P<message>.+)" has no field named "(?P<field>.+)"')
NO_VALUE = re.compile(r'Enum type "caffe\.(?P<enum>.+)" has no value '
                      r'(?:named (?P<name>\S+)|with number (?P<number>\S+))')
TWICE = re.compile(r'Message type "caffe\.(?P<message>.+)" '
                   r'should not have multiple "(?P<field>.+)"')


def read_net(path):
    """A net's NetParameter, and for each of its layers (V1: `layers`) the place "FILE:LINE"."""
    text = read_text(path)
    net = parse(text, NetParameter, path)
    return net, layer_places(text, path, "layer" if net.layer else "layers")


def read_solver(path):
    """A solver's SolverParameter."""
    return read(path, SolverParameter)


def read(path, message_type):
    """The message of `message_type` that a text file holds."""
    return parse(read_text(path), message_type, path)


def read_text(path):
    """The contents of a text file; FileError where it is none, ParseError where it is not UTF-8."""
    data = read_bytes(path)
    if len(data.translate(None, CONTROL)) != len(data):
        what = describe(data) or "a binary file"
        raise FileError(f"{path}: is {what}, where a text file (.prototxt) is expected")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[:error.start].decode("utf-8-sig").split("\n")
        raise ParseError(f"{path}:{len(before)}:{len(before[-1]) + 1}: byte "
                         f"{data[error.start]:#04x} is not UTF-8") from error


def parse(text, message_type, name="<string>"):
    """The message that `text` spells; ParseError with `name`, line and column where it is wrong."""
    message = message_type()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        line, column = error.GetLine() or 1, error.GetColumn() or 1
        what = _explain(str(error), text, line, column, message_type)
        raise ParseError(f"{name}:{line}:{column}: {what}") from error
    for missing in message.FindInitializationErrors():
        raise ParseError(_missing(missing, text, name))
    return message


def layer_places(text, name, field="layer"):
    """"NAME:LINE" of every top-level `field {` in `text`, which has been parsed before."""
    places, depth, last, at = [], 0, None, 0
    for token, line in _tokens(text):
        if token in "{<":
            if depth == 0 and last == field:
                places.append(f"{name}:{at}")
            depth += 1
        elif token in "}>":
            depth -= 1
        elif depth == 0:
            last, at = token, line
    return places


def to_text(message):
    """A message as the text of a .prototxt file."""
    return text_format.MessageToString(message, as_utf8=True)


def write(message, path):
    """Write a message as a .prototxt file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(to_text(message).encode("utf-8"))


def _tokens(text):
    """The names and braces of `text`, outside of comments and strings, with their line numbers."""
    line, end = 1, 0
    for match in TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        if match[0][0] not in "#\"'":
            yield match[0], line


def _explain(error, text, line, column, message_type):
    """The text parser's message in our words: one line, with the names that would be right."""
    lines = text.split("\n")
    what = re.sub(r"^\d+:\d+ : ", "", error)
    what = what.removeprefix(f"'{lines[line - 1]}': ").removeprefix("'': ").rstrip(".")
    if match := NO_FIELD.search(what):
        return _no_field(match["message"], match["field"], message_type.DESCRIPTOR)
    if match := NO_VALUE.search(what):
        known = DESCRIPTOR.pool.FindEnumTypeByName(f"caffe.{match['enum']}").values
        return (f"{match['enum']} has no value {match['name'] or match['number'].rstrip('.')}; "
                f"known: {', '.join(value.name for value in known)}")
    if match := TWICE.search(what):
        return f"{match['message']} takes one {match['field']}, this is another"
    if what in ('Expected "}"', 'Expected ">"'):
        opened = _unclosed(text)
        if opened:
            return f"the brace opened in line {opened} is never closed"
    if what.startswith("Expected") and "but found" not in what and ", got" not in what:
        what += f", found {(lines[line - 1][column - 1:].split() or ['the end of the line'])[0]}"
    return " ".join(what.replace("caffe.", "").split())


def _no_field(message, field, root):
    """What to say of a field that a message doesn't have."""
    known = DESCRIPTOR.pool.FindMessageTypeByName(f"caffe.{message}").fields_by_name
    close = difflib.get_close_matches(field, known)
    if field in root.fields_by_name and message != root.name:
        hint = "; is a } missing before it?"
    elif close:
        hint = f"; did you mean {' or '.join(repr(name) for name in close)}?"
    else:
        hint = f"; known: {', '.join(known)}" if len(known) <= 20 else ""
    return f"{message} has no field '{field}'{hint}"


def _missing(field, text, name):
    """The message for a required field, such as layer[3].clip_param.max, that isn't there."""
    layer = re.match(r"(layers?)\[(\d+)\]\.", field)
    if not layer:
        return f"{name}: the required field {field} is missing"
    place = layer_places(text, name, layer[1])[int(layer[2])]
    return f"{place}: the required field {field[layer.end():]} is missing"


def _unclosed(text):
    """The line of the innermost brace that is never closed, or None."""
    opened = []
    for token, line in _tokens(text):
        if token in "{<":
            opened.append(line)
        elif token in "}>" and opened:
            opened.pop()
    return opened[-1] if opened else None
