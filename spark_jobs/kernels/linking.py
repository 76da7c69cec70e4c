"""Linking of compiled functions: each function is optimised once, as part of the entry that calls it.

numba builds a library for every compiled function. It links the function's callees into the library, optimises all of
it, generates machine code and a Python wrapper, and repeats this for each caller. A function nine calls below its entry
is thus optimised ten times, and nine of the ten results are never run. Here the library of an inner function only holds
its unoptimised LLVM code. An entry links all the functions that it needs and optimises them together.
"""

from __future__ import annotations

from typing import Any

from numba.core import codegen, compiler


class _Part(codegen.JITCodeLibrary):
    """The library of an inner function: its own LLVM code only, which entries link."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.environments: dict[str, Any] = {}

    @property
    def codegen(self) -> Any:
        """The object on which numba calls `set_env`: this library itself."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Store an environment until there is machine code that defines its symbol."""
        self.environments[name] = environment

    def finalize(self) -> None:
        """Mark the library as finished, without linking, optimising or compiling its code."""
        self._raise_if_finalized()
        for library in self._linking_libraries:
            self._reload_init.update(library._reload_init)
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return 0, the null address, because there is no machine code."""
        return 0


class _Whole(codegen.JITCodeLibrary):
    """The library of an entry, which contains every function that it calls, directly or indirectly."""

    def finalize(self) -> None:
        """Link each library once, then optimise all of them together."""
        callees: dict[Any, None] = {}
        for library in self._linking_libraries:
            _add_with_callees(library, callees)
        # Callers come first, because LLVM drops a function that no function linked so far calls.
        found = list(callees)[::-1]
        self._linking_libraries = found
        super().finalize()
        compiler: Any = self._codegen
        for library in found:
            for name, environment in getattr(library, "environments", {}).items():
                if compiler._engine.is_symbol_defined(name):
                    compiler.set_env(name, environment)


def _add_with_callees(library: Any, found: dict[Any, None]) -> None:
    """Append the libraries of all callees, then the library itself."""
    if library not in found:
        if isinstance(library, _Part):
            for callee in library._linking_libraries:
                _add_with_callees(callee, found)
        found[library] = None


class InnerCompiler(compiler.Compiler):
    """numba's compiler for functions that only other kernels call."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        super().__init__(typingctx, targetctx, library or _Part(targetctx.codegen(), "part"), *rest)


class EntryCompiler(compiler.Compiler):
    """numba's compiler for functions that Python calls."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        if library is None:
            library = _Whole(targetctx.codegen(), "entry")
            library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, *rest)
