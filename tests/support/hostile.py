"""Files that run something when they are loaded, each leaving a trace if it ever does; and a real model to hide them in."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from support.served import save_sklearn

Maker = Callable[[Path], bytes]
"""From the trace to the content of a file that creates it when loaded."""


def text(value: str) -> bytes:
    """A short text as SHORT_BINUNICODE."""
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def line(trace: Path) -> str:
    """A shell command that leaves the trace."""
    return f"touch {trace}"


def code(trace: Path) -> str:
    """Python that leaves the trace."""
    return f"open({str(trace)!r}, 'w')"


def calling(module: str, name: str, argument: str, *, protocol: int = 4) -> bytes:
    """A pickle that calls `module.name(argument)`, by STACK_GLOBAL."""
    return bytes([0x80, protocol]) + text(module) + text(name) + b"\x93" + text(argument) + b"\x85R."


class Reduced:
    """Pickled, it becomes a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def pickled(function: object, *arguments: object, protocol: int = 4) -> bytes:
    """What a pickler writes for that call."""
    return pickle.dumps(Reduced(function, *arguments), protocol=protocol)


def zipped(members: dict[str, bytes], *, before: bytes = b"") -> bytes:
    """A zip of these members, behind other bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return before + data.getvalue()


def npy(content: bytes, descr: str = "'|O'") -> bytes:
    """A `.npy` file with that content after its header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def skops(*nodes: dict[str, object], protocol: object = 2) -> bytes:
    """A skops file whose root is a list of these nodes."""
    root = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": list(nodes)}
    return zipped({"schema.json": json.dumps(root | {"protocol": protocol, "_skops_version": "0.16"}).encode()})


def node(module: str, name: str, loader: str = "ObjectNode", **more: object) -> dict[str, object]:
    """One node of a skops schema."""
    return {"__module__": module, "__class__": name, "__loader__": loader, **more}


def _memo_confused(trace: Path) -> bytes:
    """Whoever numbers MEMOIZE by the opcodes before it reads `numpy.dtype` where the unpickler has `posix.system`.

    https://github.com/mmaitre314/picklescan/issues/14
    """
    body = text("posix") + b"q\x00" + text("system") + b"q\x01" + b"00"
    body += text("numpy") + b"\x94" + text("dtype") + b"\x94" + b"00"
    return b"\x80\x04" + body + b"h\x00h\x01\x93" + text(line(trace)) + b"\x85R."


def _duplicated(trace: Path) -> bytes:
    """The name comes from DUP and POP, not from the opcodes right before STACK_GLOBAL."""
    body = text("posix") + text("system") + b"2" + text("ndarray") + b"0" + b"0"
    return b"\x80\x04" + body + b"\x93" + text(line(trace)) + b"\x85R."


def _unfinished(trace: Path) -> bytes:
    """It runs, and only then is no pickle any more."""
    return calling("posix", "system", line(trace))[:-1] + b"0\xff\xff"


def _protocol_0(trace: Path) -> bytes:
    return f"cposix\nsystem\n(S'{line(trace)}'\ntR.".encode()


def _number_first(trace: Path) -> bytes:
    """C reads `0x10` as a number, `pickletools` does not: who stops there misses the rest."""
    return b"I0x10\n0" + _protocol_0(trace)


def _inst(trace: Path) -> bytes:
    return f"(S'{line(trace)}'\niposix\nsystem\n.".encode()


def _python_2(trace: Path) -> bytes:
    return f"\x80\x02c__builtin__\neval\n(S{code(trace)!r}\ntR.".encode("latin-1")


def _via_getattr(trace: Path) -> bytes:
    """The dangerous name is no import but an attribute, asked for by text."""
    getattr_ = b"\x80\x04" + text("builtins") + text("getattr") + b"\x93"
    importer = text("importlib") + text("import_module") + b"\x93" + text("os") + b"\x85R"
    return getattr_ + importer + text("system") + b"\x86R" + text(line(trace)) + b"\x85R."


def _dotted(trace: Path) -> bytes:
    """A path through an allowed package's own imports."""
    return (
        calling("sklearn.utils", "_bunch.warnings.sys.modules.get", "os")[:-1]
        + b"0"
        + calling("posix", "system", line(trace))[2:]
    )


def _two_in_a_row(trace: Path) -> bytes:
    return pickle.dumps([1, 2]) + calling("posix", "system", line(trace))


def _formula(trace: Path) -> bytes:
    """An allowed class of statsmodels evaluates the formula of its own state."""
    module = b"\x80\x04" + text("statsmodels.base.data") + text("PandasData") + b"\x93)\x81}("
    return (
        module + text("restore_model_spec") + b"\x88" + text("formula") + text(f"y ~ {code(trace)}") + text("frame") + b"Nub."
    )


def _computed_formula(trace: Path) -> bytes:
    """The same with a key that comes out of a call."""
    key = text("numpy") + text("str_") + b"\x93" + b"C\x12restore_model_spec" + b"\x85R"
    made = b"\x80\x04" + text("statsmodels.base.data") + text("PandasData") + b"\x93)\x81}("
    return made + key + b"\x88" + text("formula") + text(f"y ~ {code(trace)}") + b"ub."


def _escaped_formula(trace: Path) -> bytes:
    """The same with a key that is spelled with an escape."""
    made = b"\x80\x04" + text("statsmodels.base.data") + text("PandasData") + b"\x93)\x81}("
    return made + b"S'restore\\x5fmodel_spec'\n\x88" + text("formula") + text(f"y ~ {code(trace)}") + b"ub."


def _by_value(trace: Path) -> bytes:
    import cloudpickle

    path = str(trace)
    return cloudpickle.dumps(Reduced(lambda: open(path, "w")))


PICKLES: dict[str, tuple[Maker, str]] = {
    "os.system": (lambda t: pickled(__import__("os").system, line(t)), "posix.system"),
    "subprocess.Popen": (lambda t: pickled(subprocess.Popen, ["touch", str(t)]), "subprocess.Popen"),
    "eval": (lambda t: pickled(eval, code(t)), "builtins.eval"),
    "exec": (lambda t: pickled(exec, code(t)), "builtins.exec"),
    "open for writing": (lambda t: pickled(open, str(t), "w"), "io.open"),
    "Path.write_text": (lambda t: pickled(Path.write_text, t, "x"), "pathlib"),
    "protocol 0, which is text": (_protocol_0, "posix.system"),
    "protocol 0 after a number that only C reads": (_number_first, "posix.system"),
    "the opcode INST": (_inst, "posix.system"),
    "Python 2's name of eval": (_python_2, "builtins.eval"),
    "runpy, which few deny": (lambda t: calling("runpy", "_run_code", line(t)), "runpy._run_code"),
    "an import by text, then an attribute by text": (_via_getattr, "builtins.getattr"),
    "functools.partial of eval": (lambda t: pickled(__import__("functools").partial, eval, code(t)), "functools.partial"),
    "operator.attrgetter": (lambda t: calling("operator", "attrgetter", "system"), "operator.attrgetter"),
    "numpy's own way to run a string": (lambda t: calling("numpy.testing._private.utils", "runstring", code(t)), "runstring"),
    "a nested pickle by pandas": (lambda t: calling("pandas", "read_pickle", str(t)), "pandas.read_pickle"),
    "a nested pickle by joblib": (lambda t: calling("joblib", "load", str(t)), "joblib.load"),
    "a nested pickle by statsmodels": (lambda t: calling("statsmodels.iolib.smpickle", "load_pickle", str(t)), "load_pickle"),
    "a nested pickle by numpy": (lambda t: calling("numpy", "load", str(t)), "numpy.load"),
    "a nested pickle in bytes": (lambda t: pickled(pickle.loads, pickled(eval, code(t))), "_pickle.loads"),
    "a frozen distribution, whose state is compiled": (
        lambda t: calling("scipy.stats._distn_infrastructure", "rv_continuous_frozen", code(t)),
        "rv_continuous_frozen",
    ),
    "a path through an allowed package": (_dotted, "warnings.sys.modules"),
    "a confused memo": (_memo_confused, "posix.system"),
    "duplicated and dropped names": (_duplicated, "posix.system"),
    "broken after it ran": (_unfinished, "posix.system"),
    "a second pickle after a good one": (_two_in_a_row, "posix.system"),
    "a function by value": (_by_value, "cloudpickle.cloudpickle._make_function"),
    "statsmodels evaluates a formula": (_formula, "statsmodels.formula"),
    "a computed key of statsmodels' state": (_computed_formula, "computes a state for statsmodels"),
    "an escaped key of statsmodels' state": (_escaped_formula, "statsmodels.formula"),
    "a computed name": (
        lambda t: b"\x80\x04" + text("builtins") + text("str") + b"\x93" + text("posix") + b"\x85R" + text("system") + b"\x93.",
        "computes the name",
    ),
    "an extension code": (lambda t: b"\x80\x04\x82\x01.", "extension code"),
    "a change of an allowed class": (
        lambda t: b"\x80\x04" + text("sklearn.pipeline") + text("Pipeline") + b"\x93}" + text("predict") + b"Nsb.",
        "changes sklearn.pipeline.Pipeline itself",
    ),
    "a call of what a call gave": (
        lambda t: b"\x80\x04" + text("numpy") + text("dtype") + b"\x93" + text("f8") + b"\x85R)R.",
        "calls an object that it has made",
    ),
}
"""Pickles by what they try, each with what the refusal has to say. Not every one runs with every version of the libraries."""

RUNNING = (
    *("os.system", "subprocess.Popen", "eval", "exec", "open for writing", "Path.write_text", "protocol 0, which is text"),
    *("protocol 0 after a number that only C reads", "the opcode INST", "Python 2's name of eval", "a confused memo"),
    *("an import by text, then an attribute by text", "a nested pickle in bytes", "broken after it ran"),
)
"""Those that leave the trace wherever Python runs."""


def _posix(trace: Path) -> bytes:
    return calling("posix", "system", line(trace))


PACKED: dict[str, tuple[str, Maker, str]] = {
    "gzip": ("model.pkl", lambda t: gzip.compress(_posix(t)), "posix.system"),
    "bzip2": ("model.pkl", lambda t: bz2.compress(_posix(t)), "posix.system"),
    "xz": ("model.pkl", lambda t: lzma.compress(_posix(t)), "posix.system"),
    "lzma alone": ("model.pkl", lambda t: lzma.compress(_posix(t), lzma.FORMAT_ALONE), "posix.system"),
    "zlib, as joblib has it": ("model.joblib", lambda t: zlib.compress(_posix(t)), "posix.system"),
    "torch's zip": ("model.pth", lambda t: zipped({"a/data.pkl": _posix(t), "a/version": b"3\n"}), "posix.system"),
    "a zip called .txt": ("notes.txt", lambda t: zipped({"x": _posix(t)}), "posix.system"),
    "a zip in a zip": ("a.zip", lambda t: zipped({"b.zip": zipped({"x": _posix(t)})}), "posix.system"),
    "gzip in gzip": ("a.bin", lambda t: gzip.compress(gzip.compress(_posix(t))), "posix.system"),
    "a pickle that is a zip too": ("model.zip", lambda t: zipped({"x": b"text"}, before=_posix(t)), "posix.system"),
    "a zip that is a pickle inside only": ("m", lambda t: zipped({"x": _posix(t)}, before=b"hello"), "posix.system"),
    "an array of objects": ("weights.npy", lambda t: npy(_posix(t)), "posix.system"),
    "a record with an object": ("w.npy", lambda t: npy(_posix(t), "[('a', '<f8'), ('b', [('c', '|O')])]"), "posix.system"),
    "an array of objects in npz": ("w.npz", lambda t: zipped({"w.npy": npy(_posix(t))}), "posix.system"),
    "skops: a function": ("m.skops", lambda t: skops(node("os", "system", "FunctionNode")), "os.system"),
    "skops: a type": ("m.skops", lambda t: skops(node("subprocess", "Popen", "TypeNode")), "subprocess.Popen"),
    "skops: an operator": (
        "m.skops",
        lambda t: skops(node("operator", "methodcaller", "OperatorFuncNode")),
        "operator.methodcaller",
    ),
    "skops: a method": (
        "m.skops",
        lambda t: skops(node("sklearn.pipeline", "Pipeline", "MethodNode", content={"func": "fit"})),
        "sklearn.pipeline.Pipeline.fit",
    ),
    "skops: a node nobody knows": ("m.skops", lambda t: skops(node("builtins", "list", "EvilNode")), "unknown kind 'EvilNode'"),
    "skops: a protocol of the future": ("m.skops", lambda t: skops(protocol=99), "unknown protocol"),
    "skops: no JSON": ("m.skops", lambda t: zipped({"schema.json": b"{"}), "no JSON"),
    "a library": ("lib/x.so", lambda t: b"\x7fELF" + bytes(60), "lib/x.so"),
    "a library by content": ("data", lambda t: b"\x7fELF" + bytes(60), "native code"),
    "source": ("sitecustomize.py", lambda t: code(t).encode(), "sitecustomize.py"),
    "byte code": ("x.pyc", lambda t: bytes(16), "x.pyc"),
    "HDF5, where Keras keeps lambdas": ("model.h5", lambda t: b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    "7z": ("model.7z", lambda t: b"7z\xbc\xaf\x27\x1c" + bytes(32), "7z"),
    "tar": ("model.tar", lambda t: bytes(257) + b"ustar" + bytes(250), "tar"),
    "bytes that nobody knows": ("weights.bin", lambda t: b"\x00\x01\x02\xfe" * 8, "unknown format"),
    "joblib's arrays between the opcodes": ("m.joblib", lambda t: _joblib(), "joblib.numpy_pickle.NumpyArrayWrapper"),
    "a truncated pickle": ("model.pkl", lambda t: pickle.dumps(list(range(99)))[:40], "has no end"),
    "bytes after a pickle": ("model.pkl", lambda t: pickle.dumps({"a": 1}) + b"\x00\x00", "bytes follow the pickle"),
    "a length beyond the end": ("model.pkl", lambda t: b"\x80\x04\x8e" + b"\xff" * 8 + b".", "past its end"),
}
"""Files of other formats, and damage: the name of the file, its content, what the refusal has to say."""


def _joblib() -> bytes:
    import joblib
    import numpy as np

    data = io.BytesIO()
    joblib.dump(np.array([object], dtype=object), data)
    return data.getvalue()


def model_with(folder: Path, name: str, content: bytes, *, good: Path) -> Path:
    """A copy of the good model in `folder` with one more file."""
    shutil.copytree(good, folder, symlinks=True)
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return folder


def good_model(folder: Path) -> Path:
    """A real one in skops' format."""
    return save_sklearn(folder)


def load_for_real(content: bytes, where: Path) -> None:
    """Unpickles the content in a process of its own: what must never happen to a version."""
    file = where / "loaded.pkl"
    file.write_bytes(content)
    program = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, timeout=60, check=False)
