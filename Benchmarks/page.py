"""The page of the benchmarks: a real one, of the size of the page of the system that Headrace replaces.

That page had 38,995 bytes, of which `gzip -6` made 8,273. Of all pages of PostgreSQL's manual the one on pg_stat_statements comes
nearest to both: about 40,500 and 8,060. How long gzip takes for a page hangs on what is in it: prose with its markup takes longer than
random digits of the same ratio.
"""

import pathlib

FOLDER = pathlib.Path("/usr/share/doc")


def page():
    pages = sorted(FOLDER.glob("postgresql-doc-*/html/pgstatstatements.html"))
    if not pages:
        raise FileNotFoundError(f"{FOLDER}/postgresql-doc-*/html/pgstatstatements.html: scripts/setup bench installs it")
    return pages[-1].read_bytes()
