"""Checks the Markdown of the repository: every relative link leads to a file and to a heading of it, every page is in the index, the
code that pages show is that of a file in infra/docs/code or of the example app, errors and parameters are those of the API's
description, each mutant is in the table of mutants, and the README stays short. External links are not fetched.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "infra/docs"
MAX_README_LINES = 150

FENCE = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$", re.M | re.S)
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)=\"([^\"]+)\"", re.M)
HEADING = re.compile(r"^#{1,6}[ \t]+(.*?)[ \t]*#*$", re.M)
CODE = re.compile(r"^(?:<!-- ((?:code|\.\./client/example)/\S+) -->\n)?```(?:js|ts|jsx|tsx|javascript|typescript)\n(.*?)^```$", re.M | re.S)


def blank(match):
    """As many characters and lines, so that places stay what they are."""
    return re.sub(r"[^\n]", " ", match[0])


def anchors(text):
    """The anchors that GitHub gives to the headings of a document."""
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for heading in HEADING.findall(FENCE.sub(blank, text)):
        heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number, unique = 0, slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found


def links(text):
    """The targets of a document's links, each with its line."""
    prose = CODE_SPAN.sub(blank, FENCE.sub(blank, text))
    for match in LINK.finditer(prose):
        yield prose.count("\n", 0, match.start()) + 1, next(target for target in match.groups() if target)


def faults_of_links(path, texts, tracked):
    for line, target in links(texts[path]):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        there = (path.parent / name).resolve() if name else path
        place = f"{path.relative_to(ROOT)}:{line}"
        # Files that git does not track exist only on this machine.
        if there not in tracked and not any(there in file.parents for file in tracked):
            yield f"{place}: there is no {target}"
        elif anchor and there.suffix == ".md" and anchor not in anchors(texts[there]):
            yield f"{place}: there is no heading for {target}"


def faults_of_code(pages):
    """Code of a page is a file that the tests import, of infra/docs/code or the example app. Each file of the former is on a page."""
    shown = set()
    for path, text in pages.items():
        for match in CODE.finditer(text):
            name, code = match.groups()
            place = f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            if not name:
                yield f"{place}: code that nothing tries. Put it into infra/docs/code, and <!-- code/FILE --> above it"
            elif not (DOCS / name).is_file():
                yield f"{place}: there is no infra/docs/{name}"
            elif (DOCS / name).read_text() != code:
                yield f"{place}: this is not what infra/docs/{name} says"
            shown.add(name)
    for file in sorted((DOCS / "code").iterdir()):
        if f"code/{file.name}" not in shown:
            yield f"infra/docs/code/{file.name} is on no page"


def cells(text, head):
    """The rows of the table that begins with this head, each as its cells."""
    table = re.search(rf"^{re.escape(head)}\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.M)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()] if table else []


def spans(cell):
    return re.findall(r"`([^`]+)`", cell)


def objects(value):
    """Every object inside a value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from objects(inner)


def faults_of_api(description, protocol):
    """What the pages list by hand is what the API's description says, which the tests hold against every answer."""
    examples = (each for each in objects(description) if isinstance(each.get("code"), str) and isinstance(each.get("status"), int))
    problems = {(str(problem["status"]), problem["code"]) for problem in examples}
    rows = cells(protocol, "| status | `code` | what the app does |")
    listed = [(status.split(", "), spans(codes)) for status, codes, _ in rows]
    # A row with several statuses may have its codes in any of them.
    told = {(status, code) for statuses, codes in listed for code in codes for status in statuses}
    for status, code in sorted(problems - told):
        yield f"infra/docs/protocol.md: the table of errors lacks {status} {code}"
    for code in sorted({code for _, code in told} - {code for _, code in problems}):
        yield f"infra/docs/protocol.md: no answer has the code {code}"

    pull = description["paths"]["/api/v1/projects/{project_id}/sync/"]["get"]
    parameters = {parameter["name"] for parameter in pull["parameters"] if parameter["in"] == "query"}
    if parameters != (told := {name for row in cells(protocol, "| parameter | values | meaning |") for name in spans(row[0])}):
        yield f"infra/docs/protocol.md: the parameters of a pull are {sorted(parameters)}, not {sorted(told)}"


def faults_of_mutants(testing):
    """Each rule that tests/mutants leaves out is in the table that says what catches it, and nothing else is."""
    patches = {patch.stem for patch in (ROOT / "tests/mutants").glob("*.patch")}
    told = {name for row in cells(testing, "| rule left out | caught by |") for name in spans(row[0])}
    for name in sorted(patches - told):
        yield f"infra/docs/testing.md: the table of mutants lacks {name}"
    for name in sorted(told - patches):
        yield f"infra/docs/testing.md: tests/mutants has no {name}.patch"


def main():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    tracked = {ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists()}
    texts = {path: path.read_text() for path in sorted(tracked) if path.suffix == ".md"}
    faults = [fault for path in texts for fault in faults_of_links(path, texts, tracked)]

    description = json.loads((ROOT / "infra/api/openapi.json").read_text())
    faults += faults_of_api(description, texts[DOCS / "protocol.md"])
    faults += faults_of_mutants(texts[DOCS / "testing.md"])

    pages = {path: text for path, text in texts.items() if path.parent == DOCS}
    faults += faults_of_code({ROOT / "README.md": texts[ROOT / "README.md"]} | pages)
    index = {(DOCS / target).resolve() for _, target in links(texts[DOCS / "SUMMARY.md"])}
    faults += [f"infra/docs/SUMMARY.md does not list {path.name}" for path in pages if path not in index | {DOCS / "SUMMARY.md"}]
    if (lines := len(texts[ROOT / "README.md"].splitlines())) > MAX_README_LINES:
        faults.append(f"README.md has {lines} lines, and may have {MAX_README_LINES}")

    if faults:
        sys.exit("\n".join(faults))
    print(f"ok  {sum(1 for text in texts.values() for _ in links(text))} links in {len(texts)} documents")


main()
