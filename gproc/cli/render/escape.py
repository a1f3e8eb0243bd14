"""Text that came from others, made safe to show.

Job output on a terminal keeps its colours (SGR sequences), newlines, tabs and carriage returns; every other control
character is shown, not obeyed. Names, arguments and error texts keep nothing: one line, every control character shown.
"""

from __future__ import annotations

import codecs
import re

__all__ = ["TerminalFilter", "visible"]

_CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_BIDIRECTIONAL = "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069"
_LINE_BREAKS = "\t\n\r\u2028\u2029"
_NOT_FOR_NAMES = re.compile(f"[{_CONTROL}{_LINE_BREAKS}{_BIDIRECTIONAL}\ud800-\udfff]")
_LONGEST_SGR = 64
_COLOUR_OR_CONTROL = re.compile(rf"\x1b\[[0-9;:]{{0,{_LONGEST_SGR}}}m|[{_CONTROL}]")
_BEGUN_SGR = re.compile(rf"\x1b(?:\[[0-9;:]{{0,{_LONGEST_SGR}}})?\Z")
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def visible(text: str) -> str:
    """Return *text* with every character that a terminal could obey written out, as its number."""
    return _NOT_FOR_NAMES.sub(lambda match: _written_out(match.group()), text)


class TerminalFilter:
    """Makes a stream of output bytes safe for a terminal, however it is cut into pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""
        self._is_coloured = False

    def feed(self, data: bytes | memoryview, *, final: bool = False) -> str:
        """Return what may be shown of *data* and of what was held back; with *final*, all, and no colour stays."""
        text = self._held + self._decoder.decode(bytes(data), final)
        self._held = ""
        begun = None if final else _BEGUN_SGR.search(text, max(0, len(text) - _LONGEST_SGR - 2))
        if begun is not None:
            text, self._held = text[: begun.start()], begun.group()
        shown = _COLOUR_OR_CONTROL.sub(self._kept_or_shown, text)
        return shown + "\x1b[0m" if final and self._is_coloured else shown

    def _kept_or_shown(self, match: re.Match[str]) -> str:
        found = match.group()
        if len(found) > 1:
            self._is_coloured = True
            return found
        return _written_out(found)


def _written_out(character: str) -> str:
    named = _NAMED.get(character)
    if named is not None:
        return named
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
