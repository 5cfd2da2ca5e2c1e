"""What a pickle would import, call and change, found by following the unpickler's own stack and memo. Runs nothing of it.

The opcodes and their stack effects are the standard library's table (`pickletools`). The stack is followed for real,
not guessed from the opcodes before: scanners that guess are led astray by a memo that holds something else
(https://github.com/mmaitre314/picklescan/issues/14 and its successors). Values are stand-ins: only short texts,
which can become names, and imported names are told apart. What cannot be followed is a problem, never a guess.
"""

from __future__ import annotations

import _compat_pickle  # the names that an unpickler swaps for those of Python 2
import pickletools
import time
from dataclasses import dataclass, field
from typing import BinaryIO

from mlrelease.registries.scan.operands import TEXTS, Ended, Hidden, Operands

MOST_GLOBALS = 10_000
MOST_OPCODES = 50_000_000

_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes}
_KEEPERS = frozenset({"BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"})
"""Opcodes that change the object below their arguments, and leave it on the stack."""

_PYTHON_3 = 3
"""The first protocol whose names are those of Python 3."""

_TICK = 4096
"""The clock is read once in so many opcodes."""


@dataclass(frozen=True, slots=True)
class Global:
    """Something imported: its module, and its name there, which may have dots."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True)
class Walk:
    """What was met: `globals` in the order of their first use, and `problem`: why it ended, if not with STOP.

    `hidden`: something may run beyond that end. Without it the unpickler would have ended there too.
    """

    globals: dict[str, None] = field(default_factory=dict)
    opcodes: int = 0
    problem: str = ""
    hidden: bool = False

    @property
    def can_run(self) -> bool:
        """Whether loading it would import anything, or could."""
        return bool(self.globals) or self.hidden


class _StandIn:
    """A value of which only the kind is known."""


class _Dict(_StandIn):
    """A dictionary that stands in the file; `is_computed` once a key of it came out of a call."""

    is_computed = False


_OPAQUE, _MADE, _DATA, _MARK = _StandIn(), _StandIn(), _StandIn(), _StandIn()
"""A value that stands in the file; one that came out of a call; the same, of a class in `_RESTORED`; the mark."""

_CALLS = frozenset({"REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST", "PERSID", "BINPERSID"})

_RESTORED = "statsmodels.base.data."
_RESTORES = "restore_"
_EVALUATES = "statsmodels.formula"
"""The classes in that module evaluate the `formula` of a state that has the key `restore_model_spec` (before 0.15
`restore_design_info`), and a formula is Python. Such a text is told as an import of `statsmodels.formula`; and so that it
cannot be computed, these objects must be made by NEWOBJ and get a dictionary whose keys stand in the file.
"""


def walk(stream: BinaryIO, size: int, *, until: float) -> Walk:
    """One pickle from where `stream` (seekable) stands, to its STOP; `size` bounds every length that the bytes claim.

    `until` is a moment of the monotonic clock. A global whose module could be no module ends the walk as it would end
    the unpickler: with what ran before it, and with the packages that are imported on the way to it.
    """
    found = Walk()
    try:
        _Machine(stream, size, until, found).run()
    except Ended as e:
        found.problem, found.hidden = str(e), isinstance(e, Hidden)
    return found


class _Machine:
    """The unpickler's stack, marks and memo, with stand-ins on them."""

    def __init__(self, stream: BinaryIO, size: int, until: float, found: Walk) -> None:
        self._stream = stream
        self._operands = Operands(stream, size)
        self._until = until
        self._found = found
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._protocol = 0

    def run(self) -> None:
        """Follows every opcode up to STOP. Raises `Ended`."""
        while True:
            position = self._stream.tell()
            code = self._stream.read(1)
            if not code:
                raise Ended("the pickle has no end")
            opcode = _OPCODES.get(code[0])
            if opcode is None:
                raise Ended(f"byte {position} is no opcode of a pickle")
            self._count()
            argument = self._operands.read(opcode)
            if opcode.name == "STOP":
                self._pop()
                return
            self._step(opcode, argument)

    def _count(self) -> None:
        self._found.opcodes += 1
        if self._found.opcodes > MOST_OPCODES:
            raise Hidden(f"the pickle has more than {MOST_OPCODES:,} opcodes")
        if self._found.opcodes % _TICK == 0 and time.monotonic() > self._until:
            raise Hidden("the time for scanning is over")

    # ---- the stack

    def _pop(self) -> object:
        if not self._stack:
            raise Ended("the pickle takes more from its stack than there is")
        return self._stack.pop()

    def _value(self) -> object:
        value = self._pop()
        if value is _MARK:
            raise Ended("the pickle takes a mark for a value")
        return value

    def _to_mark(self) -> list[object]:
        taken: list[object] = []
        while (value := self._pop()) is not _MARK:
            taken.append(value)
        taken.reverse()
        return taken

    def _step(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        name = opcode.name
        if name in TEXTS:
            self._stack.append(_OPAQUE if argument is None else argument)
            if isinstance(argument, str) and argument.startswith(_RESTORES):
                self._found.globals[_EVALUATES] = None
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memorise(len(self._memo) if name == "MEMOIZE" else argument)
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._remember(argument)
        elif name == "GLOBAL":
            self._stack.append(self._named(argument))
        elif name == "STACK_GLOBAL":
            text, module = self._value(), self._value()
            self._stack.append(self._named((module, text)))
        elif name == "INST":
            taken = self._to_mark()
            self._stack.append(_called("INST", [], [self._named(argument), *taken]))
        elif name in ("EXT1", "EXT2", "EXT4"):
            raise Hidden("it uses an extension code, which stands for a name that is not in the file")
        elif name == "PROTO":
            self._protocol = argument if isinstance(argument, int) else 0
        elif name == "DUP":
            self._stack.append(self._value())
            self._stack.append(self._stack[-1])
        elif name == "POP":
            self._pop()  # the mark too, as the unpickler does
        elif name == "MARK":
            self._stack.append(_MARK)
        else:
            self._generic(opcode)

    def _generic(self, opcode: pickletools.OpcodeInfo) -> None:
        """Takes and gives what the table says; the objects that are called or changed are looked at on the way."""
        before = opcode.stack_before
        has_mark = pickletools.markobject in before
        taken = self._to_mark() if has_mark else []
        below = before.index(pickletools.markobject) if has_mark else len(before)
        under = [self._value() for _ in range(below)][::-1]
        made = _called(opcode.name, under, taken)
        if opcode.name in _KEEPERS:
            _changed(opcode.name, under, taken)
            self._stack.append(under[0])
        elif opcode.name in ("EMPTY_DICT", "DICT"):
            found = _Dict()
            found.is_computed = _MADE in taken[0::2]
            self._stack.append(found)
        else:
            self._stack.extend(made for _ in opcode.stack_after)

    def _memorise(self, key: object) -> None:
        if not isinstance(key, int):
            raise Hidden("a place in the memo has a number that no pickler would give it")
        if not self._stack or self._stack[-1] is _MARK or key < 0:
            raise Ended("the pickle memorises nothing")
        if key > self._found.opcodes:  # the unpickler takes eight bytes for every number below it
            raise Hidden("a place in the memo has a number that no pickler would give it")
        self._memo[key] = self._stack[-1]

    def _remember(self, key: object) -> None:
        if not isinstance(key, int):
            raise Hidden("a place in the memo has a number that no pickler would give it")
        if key not in self._memo:
            raise Ended("the pickle reads what it has not memorised")
        self._stack.append(self._memo[key])

    def _named(self, pair: object) -> Global:
        module, name = pair if isinstance(pair, tuple) else (None, None)
        if not isinstance(module, str) or not isinstance(name, str):
            raise Hidden("it computes the name of an import instead of naming it")
        parts = module.split(".")
        if not all(part.isidentifier() for part in parts):
            if parts[0].isidentifier() and len(parts) > 1:  # what lies before the dot is imported before the rest is not found
                self._tell(Global(module, name))
            raise Ended("it imports from what can be no module")
        if self._protocol < _PYTHON_3:
            if (module, name) in _compat_pickle.NAME_MAPPING:
                module, name = _compat_pickle.NAME_MAPPING[module, name]
            else:
                module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        found = Global(module, name)
        self._tell(found)
        return found

    def _tell(self, found: Global) -> None:
        self._found.globals[str(found)] = None
        if len(self._found.globals) > MOST_GLOBALS:
            raise Hidden(f"the pickle imports more than {MOST_GLOBALS:,} names")


def _called(opcode: str, under: list[object], taken: list[object]) -> _StandIn:
    """What comes out of an opcode, after a look at what it calls and what goes in."""
    called = (taken or [None])[0] if opcode in ("OBJ", "INST") else under[0] if under else None
    if opcode in _CALLS - {"PERSID", "BINPERSID"} and not isinstance(called, Global):
        raise Hidden("it calls an object that it has made, not one that it names")
    is_restored = opcode == "NEWOBJ" and str(called).startswith(_RESTORED)
    arguments = under[1:] if is_restored else under
    if any(isinstance(value, Global) and str(value).startswith(_RESTORED) for value in (*arguments, *taken)):
        raise Hidden("it makes a state for statsmodels in an unusual way")
    return _DATA if is_restored else _MADE if opcode in _CALLS else _OPAQUE


def _changed(opcode: str, under: list[object], taken: list[object]) -> None:
    """A look at the object that an opcode changes, and at its new state or keys."""
    target = under[0]
    if isinstance(target, Global):
        raise Hidden(f"it changes {target} itself, not an object made by it")
    if opcode in ("SETITEM", "SETITEMS") and isinstance(target, _Dict):
        target.is_computed |= _MADE in (taken[0::2] if opcode == "SETITEMS" else under[1:2])
    if opcode == "BUILD" and target is _DATA and not (isinstance(under[1], _Dict) and not under[1].is_computed):
        raise Hidden("it computes a state for statsmodels instead of naming it")
