"""The house rules of imports and file sizes, checked on the source itself."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "minicaffe"
FILES = sorted(ROOT.rglob("*.py"))

# a file imports only lower levels ...
LEVELS = {"errors": 0, "backend": 0, "files": 0, "registry": 0,
          "blob": 1, "cli": 1, "proto": 1, "primitives": 1, "structured": 1, "datasets": 1,
          "fillers": 2, "pruning": 2, "net_spec": 2, "nets": 2, "io": 2,
          "layers": 3, "coord_map": 3,
          "net": 4,
          "solver": 5, "analysis": 5, "classifier": 5,
          "__init__": 6, "draw": 6, "__main__": 7}
# ... but for these, (who, whom): whom is of the same level
SAME_LEVEL = {("backend", "errors"), ("files", "errors"), ("registry", "errors"),
              ("datasets", "proto"),            # LMDB holds Datum messages, a mean file a BlobProto
              ("analysis", "solver")}           # the benchmark times whole training steps
# single files that look up, with the reason
UPWARDS = {("analysis.bench", "__init__")}      # inside a function, for the version number
# in these folders a file may import base.py only, but for SIBLINGS; elsewhere any of its folder
FAMILIES = {"fillers", "layers", "pruning"}
SIBLINGS = {("layers.hdf5_data", "layers.data"),       # these make batches
            ("layers.image_data", "layers.data")}


def name_of(path):
    """A file as dotted name within the package: "layers.base"; a package as "layers.__init__"."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path, root=ROOT):
    """Dotted names within the package that a file imports, at any depth of its code."""
    package = path.relative_to(root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "minicaffe":
                    yield alias.name.partition(".")[2] or "__init__"
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                base = [*package[:len(package) - node.level + 1], *base]
            elif base[:1] == ["minicaffe"]:
                base = base[1:]
            else:
                continue
            for alias in node.names:
                inner = [*base, alias.name]
                if root.joinpath(*inner).with_suffix(".py").exists() \
                        or root.joinpath(*inner, "__init__.py").exists():
                    yield ".".join(inner)
                else:
                    yield ".".join(base) or "__init__"


def as_file(name):
    """The file that a dotted name stands for."""
    return name if ROOT.joinpath(*name.split(".")).with_suffix(".py").exists() \
        else f"{name}.__init__"


def is_allowed(who, whom):
    """Whether a file may import another by the level table."""
    mine, theirs = who.split(".")[0], whom.split(".")[0]
    if (who, whom) in UPWARDS:
        return True
    if mine != theirs:
        return LEVELS[theirs] < LEVELS[mine] or (mine, theirs) in SAME_LEVEL
    if mine in FAMILIES and not who.endswith("__init__"):
        return whom == f"{mine}.base" or (who, whom) in SIBLINGS
    return True


def test_every_part_of_the_package_has_a_level():
    assert {name_of(path).split(".")[0] for path in FILES} <= set(LEVELS)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_strictly_down(path):
    wrong = [whom for whom in imports(path) if not is_allowed(name_of(path), whom)]
    assert not wrong


def test_the_table_forbids_what_it_should():
    assert not is_allowed("blob", "net.net")
    assert not is_allowed("layers.pooling", "net.__init__")
    assert not is_allowed("layers.pooling", "layers.convolution")
    assert not is_allowed("proto.text", "datasets.base")
    assert not is_allowed("solver.base", "analysis.timing")
    assert is_allowed("layers.pooling", "layers.base") and is_allowed("net.net", "net.splits")


def test_exceptions_are_in_use():
    """Whoever gets rid of one takes it off the list."""
    used = {(name_of(p), whom) for p in FILES for whom in imports(p)}
    assert SIBLINGS | UPWARDS <= used
    assert SAME_LEVEL <= {(a.split(".")[0], b.split(".")[0]) for a, b in used}


def test_no_file_imports_itself_through_others():
    graph = {name_of(p): {as_file(whom) for whom in imports(p)} for p in FILES}
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name):], name])
        if name not in done:
            path.append(name)
            for whom in sorted(graph[name]):
                visit(whom)
            done.add(path.pop())

    for name in graph:
        visit(name)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_device_libraries_wildcards_and_size(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else \
            [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert path.name == "backend.py" or not any(m.split(".")[0] == "cupy" for m in modules)
        assert not (isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names))
    if path.name != "caffe_pb2.py":
        assert len(path.read_text().splitlines()) < 450
