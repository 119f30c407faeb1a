"""What the sources say, read without building or importing them.

The pages' statements and erratum boxes, the tests' marks ``refutes(label, …)`` and the labels that docstrings of the
library name: the ledger page shows them, and ``tests/book/test_ledger.py`` demands that they fit together.
"""

import ast
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

CLAIMS = (
    "definition", "theorem", "lemma", "proposition", "corollary", "remark", "example", "property", "observation",
    "criterion",
)  # fmt: skip
LABEL = re.compile(r"(?<![\w-])(?:def|thm|lem|prop|cor|rem|exm|err)(?:-[a-z0-9]+)+(?![\w-])")
FENCE = re.compile(r"^\s*(?:`{3,}|:{3,})\{(?:prf:(\w+)|(erratum))\}\s*(.*?)\s*$")
OPTION = re.compile(r"^\s*:([\w-]+):\s*(.*?)\s*$")
OUTSIDE = {"skip", "skipif", "xfail"}


@dataclass(frozen=True)
class Statement:
    """One labelled block of a page: `kind` is ``theorem``, …, or ``erratum``."""

    kind: str
    label: str
    title: str
    path: str
    line: int

    @property
    def place(self):
        return f"{self.path}:{self.line}"

    @property
    def source(self):
        """What the title names after its last semicolon; empty if it names nothing."""
        return self.title.rpartition(";")[2].strip() if ";" in self.title else ""


@dataclass(frozen=True, order=True)
class Place:
    """A named function or class at a line of a file; `path` is relative to the project's root."""

    path: str
    line: int
    name: str


@dataclass
class Marks:
    """The tests that would refute each label, and the marks that cannot be read (one sentence each)."""

    tests: dict[str, list[Place]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, labels, place):
        for label in labels:
            self.tests.setdefault(label, []).append(place)


# ---------------------------------------------------------------------------------------------------------- pages


def page_texts(root):
    """(path, first line, text) of the front page and every chapter; of a notebook, each of its Markdown cells."""
    pages = [path for path in sorted(Path(root, "chapters").rglob("*")) if ".ipynb_checkpoints" not in path.parts]
    for path in [Path(root, "intro.md"), *pages]:
        name = path.relative_to(root).as_posix()
        if path.suffix == ".md" and path.exists():
            yield name, 1, path.read_text("utf-8")
        elif path.suffix == ".ipynb":
            for cell in json.loads(path.read_text("utf-8"))["cells"]:
                if cell["cell_type"] == "markdown":
                    yield name, 1, "".join(cell["source"])


def blocks(root):
    """Every claiming ``prf:`` block and every ``erratum`` of the pages, in reading order of the files."""
    found = []
    for path, first, text in page_texts(root):
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if (fence := FENCE.match(line)) and (fence[2] or fence[1] in CLAIMS):
                options = {}
                for match in map(OPTION.match, lines[number + 1 :]):
                    if not match:
                        break
                    options[match[1]] = match[2]
                found.append(Statement(fence[2] or fence[1], options.get("label", ""), fence[3], path, first + number))
    return found


# ---------------------------------------------------------------------------------------------------------- tests


def mark_calls(nodes):
    """The calls ``pytest.mark.refutes(…)`` anywhere inside `nodes`."""
    for node in nodes:
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("mark.refutes"):
                yield call


def names_in(nodes):
    return {name.id for node in nodes for name in ast.walk(node) if isinstance(name, ast.Name)}


def left_out(nodes):
    """Whether `nodes` mark a test to be skipped or expected to fail: such a test refutes nothing."""
    marks = (a for node in nodes for a in ast.walk(node) if isinstance(a, ast.Attribute) and a.attr in OUTSIDE)
    return any(ast.unparse(attribute.value).endswith("mark") for attribute in marks)


def assigned(node):
    """The names to which a statement assigns."""
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


class TestModule:
    """One file of tests: its tests, and its *holders*, the other names through which marks reach a test."""

    def __init__(self, path, name):
        self.path, self.tree = name, ast.parse(path.read_text("utf-8"))
        self.stem = path.stem
        self.holders = {}
        self.imports = {}
        self.used = set()
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (node.module.rpartition(".")[2], alias.name)
            is_helper = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.lower().startswith("test")
            for held in [node.name] if is_helper else assigned(node):
                if held != "pytestmark":
                    self.holders[held] = node

    def tests(self, body=None, above=(), prefix=""):
        """(function, the nodes that may mark it) for every test function of `body`, methods of ``Test…`` included."""
        body = self.tree.body if body is None else body
        shared = [*above, *(node.value for node in body if "pytestmark" in assigned(node))]
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
                yield Place(self.path, node.lineno, prefix + node.name), [*shared, *node.decorator_list], node.args
            elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                yield from self.tests(node.body, [*shared, *node.decorator_list], f"{prefix}{node.name}::")


def holder(name, module, modules):
    """(module, node) of the holder that `name` means in `module`: its own, an imported one, or a conftest's fixture."""
    if name in module.holders:
        return module, module.holders[name]
    stem, original = module.imports.get(name, ("conftest", name))
    for other in modules:
        if other.stem == stem and original in other.holders:
            return other, other.holders[original]
    return None


def reached(nodes, names, module, modules, seen):
    """The mark calls in `nodes` and in every holder that `names` lead to, directly or through another holder."""
    yield from mark_calls(nodes)
    for name in sorted(names):
        found = holder(name, module, modules)
        if found and id(found[1]) not in seen:
            seen.add(id(found[1]))
            yield from reached([found[1]], names_in([found[1]]), found[0], modules, seen)


def marks(root):
    """What the tests below ``tests/`` are marked to refute."""
    files = sorted(Path(root, "tests").rglob("*.py"))
    modules = [TestModule(path, path.relative_to(root).as_posix()) for path in files]
    result, used = Marks(), set()
    for module in modules:
        for place, nodes, arguments in module.tests():
            names = names_in(nodes) | {argument.arg for argument in arguments.args + arguments.kwonlyargs}
            calls = list(reached(nodes, names, module, modules, set()))
            used.update(map(id, calls))
            if not left_out(nodes):
                result.add(sorted({label for call in calls for label in literals(call)}), place)
    for module in modules:
        for call in mark_calls([module.tree]):
            if len(literals(call)) < max(1, len(call.args)):
                result.faults.append(f"{module.path}:{call.lineno}: refutes() takes labels written as literal strings.")
            elif id(call) not in used:
                result.faults.append(f"{module.path}:{call.lineno}: this refutes() mark reaches no test.")
    return result


def literals(call):
    return [node.value for node in call.args if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def count_tests(root):
    """The number of test functions below ``tests/`` (a parametrised one counts once)."""
    files = sorted(Path(root, "tests").rglob("*.py"))
    return sum(1 for path in files for _ in TestModule(path, path.name).tests())


# -------------------------------------------------------------------------------------------------------- library


def library(root):
    """label → the public objects of the library whose docstring names it."""
    named = {}
    for path in sorted(Path(root, "lib").rglob("*.py")):
        relative = path.relative_to(Path(root, "lib")).with_suffix("")
        module = ".".join(part for part in relative.parts if part != "__init__")
        tree = ast.parse(path.read_text("utf-8"))
        for name, node in [(module, tree), *public(tree.body, module)]:
            for label in sorted(set(LABEL.findall(ast.get_docstring(node) or ""))):
                place = Place(path.relative_to(root).as_posix(), getattr(node, "lineno", 1), name)
                named.setdefault(label, []).append(place)
    return named


def public(body, prefix):
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield f"{prefix}.{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}.{node.name}")
