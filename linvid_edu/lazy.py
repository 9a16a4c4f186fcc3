"""Import public names when they are first used, so that importing a folder of the package is quick.

A folder lists its public names as ordinary imports in ``__init__.pyi``, which editors and mypy read as well. The
package lazy-loader does the same, but the core of the library depends on torch, einops and numpy alone.
"""

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def public_names(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package whose stub lists its public names.

    Args:
        package: ``__name__`` of the package.
        file: ``__file__`` of the package; the stub is the ``.pyi`` file of the same name.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    modules = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = modules[name]
        if module is None:
            return import_module(f".{attribute}", package)
        return getattr(import_module(f".{module}", package), attribute)

    return load, lambda: sorted(modules), sorted(modules)
