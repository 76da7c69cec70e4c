"""How functions become one piece of machine code: each is optimised once, in the entry that calls it.

numba makes a library of every compiled function: it links what the function calls into it, optimises all of that, makes
machine code of it and a wrapper for Python beside it, and then does the same again for each caller. A function nine
calls below its entry is so optimised ten times, and nine of the ten results are never run. Here a function that only
other kernels call stays as it was lowered, without a wrapper, until an entry links all that it needs and optimises it.
"""

from __future__ import annotations

from typing import Any

from numba.core import codegen, compiler


class _Part(codegen.JITCodeLibrary):
    """The library of an inner function: LLVM's code of it alone, for entries to link."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.environments: dict[str, Any] = {}

    @property
    def codegen(self) -> Any:
        """This, which is asked for nothing but `set_env`."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Keep the environment until the machine code is there that has a place for it."""
        self.environments[name] = environment

    def finalize(self) -> None:
        """Keep the code as it is."""
        self._raise_if_finalized()
        for library in self._linking_libraries:
            self._reload_init.update(library._reload_init)
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """None: there is no machine code."""
        return 0


class _Whole(codegen.JITCodeLibrary):
    """The library of an entry, with all that it calls, directly or not."""

    def finalize(self) -> None:
        """Link each part once, then optimise."""
        callees: dict[Any, None] = {}
        for library in self._linking_libraries:
            _add_with_callees(library, callees)
        # Callers first: LLVM leaves out a function that nothing linked so far calls.
        found = list(callees)[::-1]
        self._linking_libraries = found
        super().finalize()
        compiler: Any = self._codegen
        for library in found:
            for name, environment in getattr(library, "environments", {}).items():
                if compiler._engine.is_symbol_defined(name):
                    compiler.set_env(name, environment)


def _add_with_callees(library: Any, found: dict[Any, None]) -> None:
    """Add a library behind all that it calls."""
    if library not in found:
        if isinstance(library, _Part):
            for callee in library._linking_libraries:
                _add_with_callees(callee, found)
        found[library] = None


class InnerCompiler(compiler.Compiler):
    """numba's compiler, for functions that only other kernels call."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        super().__init__(typingctx, targetctx, library or _Part(targetctx.codegen(), "part"), *rest)


class EntryCompiler(compiler.Compiler):
    """numba's compiler, for functions that Python calls."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        if library is None:
            library = _Whole(targetctx.codegen(), "entry")
            library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, *rest)
