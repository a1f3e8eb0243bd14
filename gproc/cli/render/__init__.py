"""Values to what is drawn. Pure: no terminal, no clock; *now* is passed in."""
