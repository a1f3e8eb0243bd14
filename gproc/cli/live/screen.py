"""A small screen in memory: a job's output as lines that can be drawn in a pane. Pure.

It obeys what programs use to draw one line over and over, progress bars above all: carriage return, backspace, tab,
"erase in line" and colours. Everything else that a terminal would obey is swallowed.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.ansi import SGR_STYLE_MAP
from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.text import Text

__all__ = ["Screen"]

_TAB = 8
_LONGEST_SEQUENCE = 512
_FLOOD = 1 << 14
_LONGEST_NUMBER = 9  # digits; Python refuses to read thousands of them
# Takes no room, or turns the direction of what follows: the border of the pane would no longer be where it is drawn.
_UNSEEN = "\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_TOKEN = re.compile(
    r"(?P<csi>\x1b\[[0-?]*[ -/]*[@-~])"
    r"|(?P<string>\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c))"
    r"|(?P<escape>\x1b[ -/]*[0-OQ-WYZ\\`-~])"
    rf"|(?P<control>[\x00-\x1f\x7f-\x9f{_UNSEEN}])"
    rf"|(?P<text>[^\x00-\x1f\x7f-\x9f{_UNSEEN}]+)"
)
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c]*\x1b?|[ -/]*)?\Z")


@dataclass(slots=True)
class _Line:
    """Characters and their styles, one each."""

    characters: list[str] = field(default_factory=list)
    styles: list[Style] = field(default_factory=list)

    def put(self, column: int, text: str, style: Style) -> None:
        missing = column - len(self.characters)
        if missing > 0:
            self.characters += " " * missing
            self.styles += [Style.null()] * missing
        self.characters[column : column + len(text)] = text
        self.styles[column : column + len(text)] = [style] * len(text)

    def erase(self, start: int, end: int) -> None:
        if end >= len(self.characters):
            del self.characters[start:], self.styles[start:]
        else:
            self.put(start, " " * (end - start), Style.null())

    def rows(self, width: int) -> list[Text]:
        """Return the line folded to *width* cells."""
        rows, row, used = [], Text(no_wrap=True), 0
        for character, style in zip(self.characters, self.styles, strict=True):
            cells = cell_len(character)
            if used + cells > width and used:
                rows.append(row)
                row, used = Text(no_wrap=True), 0
            row.append(character, style)
            used += cells
        return [*rows, row]


class Screen:
    """The last lines of a job's output, as they would stand on a terminal without cursor movement."""

    def __init__(self, *, lines: int = 200, columns: int = 2000) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lines: deque[_Line] = deque([_Line()], maxlen=lines)
        self._columns = columns
        self._column = 0
        self._style = Style.null()
        self._held = ""

    def feed(self, data: bytes | memoryview) -> None:
        """Take output, cut anywhere. Of a flood only the end is looked at: nobody could have read the rest."""
        if len(data) > _FLOOD:
            data = data[-_FLOOD:]
            self._held = ""
        text = self._held + self._decoder.decode(bytes(data))
        begun = _BEGUN.search(text, max(0, len(text) - _LONGEST_SEQUENCE))
        self._held = text[begun.start() :] if begun else ""
        for match in _TOKEN.finditer(text, 0, begun.start() if begun else len(text)):
            self._obey(match)

    def rows(self, width: int, height: int) -> list[Text]:
        """Return the last rows that fit into *width* by *height* cells; the line that was just ended is not one."""
        found: list[Text] = []
        lines = list(self._lines)
        if not lines[-1].characters:
            lines.pop()
        for line in reversed(lines):
            found = line.rows(width) + found
            if len(found) >= height:
                break
        return found[max(0, len(found) - height) :]

    def _obey(self, match: re.Match[str]) -> None:
        token = match.group()
        match match.lastgroup:
            case "text":
                room = token[: max(0, self._columns - self._column)]
                self._lines[-1].put(self._column, room, self._style)
                self._column += len(room)
            case "control":
                self._control(token)
            case "csi":
                self._sequence(token[2:-1], token[-1])

    def _control(self, character: str) -> None:
        match character:
            case "\n":
                self._lines.append(_Line())
                self._column = 0
            case "\r":
                self._column = 0
            case "\b":
                self._column = max(0, self._column - 1)
            case "\t":
                self._column = min(self._columns, (self._column // _TAB + 1) * _TAB)

    def _sequence(self, parameters: str, final: str) -> None:
        if final == "m":
            self._style = _styled(self._style, parameters)
        elif final == "K" and parameters in ("", "0"):
            self._lines[-1].erase(self._column, self._columns)
        elif final == "K" and parameters == "1":
            self._lines[-1].erase(0, self._column + 1)
        elif final == "K" and parameters == "2":
            self._lines[-1].erase(0, self._columns)


def _styled(style: Style, parameters: str) -> Style:
    """Return *style* changed by the parameters of an SGR sequence; what is malformed changes nothing."""
    codes = iter([min(255, int(code[:_LONGEST_NUMBER])) if code.isdecimal() else 0 for code in parameters.split(";")])
    for code in codes:
        if code == 0:
            style = Style.null()
        elif code in (38, 48):
            colour = _extended_colour(codes)
            if colour is not None:
                style += Style(color=colour) if code == 38 else Style(bgcolor=colour)
        elif code in SGR_STYLE_MAP:
            style += Style.parse(SGR_STYLE_MAP[code])
    return style


def _extended_colour(numbers: Iterator[int]) -> Color | None:
    kind = next(numbers, None)
    if kind == 5:
        number = next(numbers, None)
        return None if number is None else Color.from_ansi(number)
    if kind == 2:
        red, green, blue = (next(numbers, 0) for _ in range(3))
        return Color.from_rgb(red, green, blue)
    return None
