"""The shape of the code: the order of imports, what is imported when, the public names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import regraft

PACKAGE = Path(regraft.__file__).parent

# Each row may import the rows above it, and itself where it is a package.
ORDER = (
    *("_version", "errors", "wording", "clock", "progress", "telemetry", "workers"),
    *("storage", "onnx_graphs", "model_record", "training_contents", "sampling", "demo"),
    "metrics",
    "tables",
    "kinds",
    "engines",
    "dataset",
    "backbones",
    "features",
    "heads",
    *("inputs", "model"),
    "approaches",
    "inspection",
    "racing",
    "evidence",
    "runs",
    "reporting",
    "web",
    "reviewing",
    "exporting",
    "serving",
    "watching",
    "workflow",
    "frameworks",
    "commands",
    "__main__",
)
LEAVES = {
    *("_version", "errors", "wording", "clock", "progress", "telemetry", "workers"),
    *("storage", "onnx_graphs", "model_record", "training_contents", "sampling"),
}
# Where the design asks for less than "all rows above": what may be imported beside the leaves.
NARROW = {
    "metrics": set(),
    "tables": set(),
    "kinds": {"tables"},
    "dataset": {"kinds", "tables"},
    "engines": set(),
    "backbones": {"engines", "kinds"},
    "heads": {"metrics"},
}
RUNTIMES = {
    "torch": "engines",
    "timm": "engines",
    "onnxruntime": "engines",
    "torchvision": "engines",
    "captum": "engines",
    "pytorch_lightning": "engines",
    "transformers": "engines",
    "fastai": "engines",
}
# Packages that report by themselves, or import one that does or that reads its variable.
REPORTING = {
    *("onnxruntime", "mlflow", "huggingface_hub", "transformers", "datasets", "timm", "fastai"),
    *("lightning_fabric", "pytorch_lightning"),
}
# These are imported by a server that starts, or by who asks for an estimator, and by nothing else.
WEB = {
    *("serving/app.py", "serving/counting.py", "serving/intake.py"),
    *("reviewing/app.py", "web/patience.py"),
}
ESTIMATORS = {"frameworks/estimators.py"}
# Classes that Lightning's own are the base of; imported by who asks for such a module.
LIGHTNING = {"engines/lightning.py"}
TOP_LEVEL = WEB | ESTIMATORS | LIGHTNING
LIGHT = {
    "numpy",
    "PIL",
    "msgspec",
}  # what modules other than the command line may import when imported


# They go with exported files, and are never imported.
SHIPPED = set((PACKAGE / "exporting").glob("standalone_*.py"))


def _modules() -> list[tuple[str, Path]]:
    return [
        (p.relative_to(PACKAGE).parts[0].removesuffix(".py"), p)
        for p in PACKAGE.rglob("*.py")
        if p not in SHIPPED
    ]


def _imports(path: Path, *, top_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    if top_level:
        nodes = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            found.add(module)
            if module == "regraft":
                found.update(f"regraft.{alias.name}" for alias in node.names)
    return found


def test_every_module_imports_only_from_rows_above() -> None:
    visited = 0
    for row, path in _modules():
        if row == "__init__":
            continue
        assert row in ORDER, f"{path} has no place in the order"
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] != "regraft" or len(parts) == 1:
                continue
            visited += 1
            target = parts[1]
            if target == row:
                continue
            assert target in ORDER, f"{path} imports {name}, which has no place in the order"
            assert ORDER.index(target) < ORDER.index(row), f"{path} imports {name} from below"
            if row in NARROW:
                assert target in NARROW[row] | LEAVES, f"{row} may not import {target}"
    assert visited > 100


def _files_imported(path: Path, files: set[str]) -> set[str]:
    """The files of regraft that a file imports, inside functions and for types as well."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= (names & files) or {node.module}
    return imported & files


def test_no_files_import_each_other_in_a_circle() -> None:
    paths = {
        ".".join(("regraft", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for _, path in _modules()
    }
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    imports = {name: _files_imported(path, set(paths)) - {name} for name, path in paths.items()}
    assert sum(map(len, imports.values())) > 1_000
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


_ASKS_FOR_A_KIND = re.compile(
    r"(?:==|!=|\bin) \(?(?:IMAGE|TEXT)\b|\b(?:IMAGE|TEXT):"
    r"|\bmodality (?:==|!=) \"|isinstance\([^)]*(?:Image|Text)Transform"
)


def test_nothing_but_kinds_tells_one_kind_of_input_from_another() -> None:
    compared = {
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for row, path in _modules()
        if row != "kinds"
        for line in path.read_text(encoding="utf-8").splitlines()
        if _ASKS_FOR_A_KIND.search(line)
    }
    assert compared == set()
    assert _ASKS_FOR_A_KIND.search("if asked.kind != IMAGE:")
    assert _ASKS_FOR_A_KIND.search('    "IMAGE: find_copies,')


def test_what_stands_at_the_top_of_a_wing_is_there() -> None:
    checked = 0
    for path in PACKAGE.rglob("__init__.py"):
        top = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        for name in re.findall(r"^ *(\w+) {2,}\S", top, re.MULTILINE):
            checked += 1
            assert (path.parent / f"{name}.py").exists() or (path.parent / name).is_dir(), (
                f"{path}: {name}"
            )
    assert checked > 100


def test_only_engines_import_a_runtime() -> None:
    seen = set()
    for row, path in _modules():
        for name in _imports(path):
            package = name.split(".")[0]
            if package in RUNTIMES:
                seen.add(package)
                assert row == RUNTIMES[package], f"{path} imports {package}"
    assert seen == set(RUNTIMES)


def test_one_module_imports_onnx_runtime() -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for _, path in _modules()
        if any(name.split(".")[0] == "onnxruntime" for name in _imports(path))
    }
    assert users == {"engines/onnx.py"}


def test_telemetry_is_off_before_what_reports_is_imported() -> None:
    seen: set[str] = set()
    for _, path in _modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for scope in (tree, *(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))):
            reporting = [
                (node.lineno, name.split(".")[0])
                for node, names in _own_imports(scope)
                for name in names
                if name.split(".")[0] in REPORTING
            ]
            seen.update(name for _, name in reporting)
            first = min((line for line, _ in reporting), default=0)
            calls = [
                node.lineno
                for node in ast.walk(scope)
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in OPT_OUTS
            ]
            assert not reporting or min(calls, default=first) < first, f"{path}:{first}"
    assert seen == REPORTING


OPT_OUTS = {"opt_out", "load_runtime"}


def _own_imports(scope: ast.AST) -> list[tuple[ast.stmt, list[str]]]:
    """Imports that run with a module or function: not those of functions in it, nor of types."""
    found: list[tuple[ast.stmt, list[str]]] = []
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found.append((node, [alias.name for alias in node.names]))
        elif isinstance(node, ast.ImportFrom):
            found.append((node, [node.module or ""]))
        else:
            found += _own_imports(node)
    return found


def test_what_is_shipped_turns_telemetry_off_first() -> None:
    for path in SHIPPED:
        lines = path.read_text(encoding="utf-8").splitlines()
        setting = 'os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")'
        where = next(i for i, line in enumerate(lines) if line.startswith(setting))
        assert where < lines.index("import onnxruntime")
    assert len(SHIPPED) == 2


def test_heavy_packages_are_imported_inside_functions() -> None:
    checked = 0
    for row, path in _modules():
        if row == "commands" or path.relative_to(PACKAGE).as_posix() in TOP_LEVEL:
            continue
        for name in _imports(path, top_level=True):
            package = name.split(".")[0]
            if package == "regraft" or package in sys.stdlib_module_names:
                continue
            checked += 1
            assert package in LIGHT, f"{path} imports {package} when it is imported"
    assert checked > 10


def test_no_pickle_and_no_unsafe_load() -> None:
    for _, path in _modules():
        text = path.read_text(encoding="utf-8")
        named = {
            part
            for node in ast.walk(ast.parse(text))
            for name in (
                getattr(node, "id", ""),
                getattr(node, "attr", ""),
                getattr(node, "arg", ""),
            )
            for part in str(name or "").split("_")
        }
        packages = {name.split(".")[0] for name in _imports(path)}
        forbidden = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
        assert not (named | packages) & forbidden, path  # a message may tell of them
        for line in text.splitlines():
            if "torch.load(" in line and "``" not in line and "`torch.load" not in line:
                assert "weights_only=True" in line, path


def test_public_names_are_pinned() -> None:
    assert sorted(regraft.__all__) == [
        "Approach",
        "Backbone",
        "Comparison",
        "Dataset",
        "Estimate",
        "Evaluation",
        "FineTune",
        "Issue",
        "Knn",
        "LinearProbe",
        "Model",
        "MultilayerProbe",
        "Prediction",
        "RegraftClassifier",
        "RegraftError",
        "Row",
        "Run",
        "Scratch",
        "__version__",
        "audit",
        "compare",
        "correct",
        "embed",
        "evaluate",
        "explain",
        "export",
        "find_groups",
        "find_issues",
        "fit",
        "get_backbone",
        "list_backbones",
        "load",
        "module_backbone",
        "plan",
        "predict",
        "read_run",
        "report",
        "review",
        "rollback",
        "scan",
        "serve",
        "timeline",
        "watch",
    ]
    for name in regraft.__all__:
        assert getattr(regraft, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = regraft.nothing


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import regraft", ["numpy", "PIL", "onnxruntime", "torch", "sklearn", "typer"]),
        (
            "import regraft.commands.app",
            ["numpy", "PIL", "onnxruntime", "rich", "torch", "sklearn"],
        ),
        ("import regraft.workflow", ["onnxruntime", "torch", "sklearn", "scipy", "onnx", "rich"]),
        ("import regraft.serving, regraft.watching", ["fastapi", "starlette", "scipy", "torch"]),
    ],
)
def test_importing_stays_light(code: str, forbidden: list[str]) -> None:
    check = f"import sys; {code}; print([m for m in {forbidden!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_changes_nothing() -> None:
    code = (
        "import os, warnings, logging, threading, numpy, PIL.Image\n"
        "before = (dict(os.environ), list(warnings.filters), logging.root.handlers[:])\n"
        "import regraft.workflow\n"
        "after = (dict(os.environ), list(warnings.filters), logging.root.handlers[:])\n"
        "assert before == after\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
