"""What Gproc is measured against. A peer that cannot take part raises `Missing`, and is named in the table."""
