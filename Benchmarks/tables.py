"""The pages in docs that the benchmarks write: a heading and a table for each work."""

import datetime


def write(path, head, lines, options):
    """Tables that were not measured this time stay as they are, in their places; each says when it was measured, and for how long.

    `head`: title and an introduction; `options`: with rounds, and seconds of each.
    """
    def tables(text):
        return {part.split("\n", 1)[0]: part.split("\n", 1)[1].strip() for part in text.split("### ")[1:]}
    when = f"{datetime.date.today()}, {options.rounds} rounds of {options.seconds} s."
    found = tables(path.read_text()) if path.exists() else {}
    found.update({name: f"{when}\n\n{table}" for name, table in tables("\n".join(lines)).items()})
    path.write_text("\n".join(head) + "\n" + "\n\n".join(f"### {name}\n\n{table}" for name, table in found.items()) + "\n")
