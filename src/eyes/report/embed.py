"""embed.py OUT TEMPLATE CSS JS... - the report's sources as C: what stands before the data, and after."""
import sys

out, template, style, *scripts = sys.argv[1:]


def read(name):
    with open(name, encoding="utf-8") as f:
        return f.read()


def literal(text):
    data = text.encode().decode("latin-1")
    special = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "?": "\\?"}
    line = "".join(special.get(c) or (c if " " <= c <= "~" else f"\\{ord(c):03o}") for c in data)
    return f'\t"{line}"\n'


def array(name, text):
    return (f"static const char {name}[] =\n"
            + "".join(literal(line) for line in text.splitlines(keepends=True)).rstrip("\n")
            + ";\n")


page = read(template).replace("@STYLE@", read(style)).replace("@SCRIPT@", "".join(map(read, scripts)))
before, after = page.split("@DATA@")
with open(out, "w", encoding="utf-8") as f:
    f.write(array("report_before", before) + array("report_after", after))
