"""The walk opcode by opcode: what each leaves, takes and ends, beside what the unpickler does."""

from __future__ import annotations

import io
import pickle
import struct
import time

import pytest
from mlrelease.registries.scan import operands, pickles
from mlrelease.registries.scan.formats import look
from mlrelease.registries.scan.found import LimitReached, Scan
from mlrelease.registries.scan.mlmodel import Declared
from support.hostile import text
from support.scanning import RUNS, told, walked

CALL = text("posix") + text("system") + b"\x93" + text("true") + b"\x85R"
STATS = text("statsmodels.base.data") + text("PandasData")
KEY = text("numpy") + text("str_") + b"\x93" + b"C\x12restore_model_spec" + b"\x85R"
COMPUTED = b"}(" + KEY + b"\x88u"
UNUSUAL = "it makes a state for statsmodels in an unusual way"
COMPUTES = "it computes a state for statsmodels instead of naming it"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param(STATS + b"\x93)\x81" + COMPUTED + b"b.", COMPUTES, id="made by NEWOBJ"),
        pytest.param(b"(istatsmodels.base.data\nPandasData\n" + COMPUTED + b"b.", UNUSUAL, id="made by INST"),
        pytest.param(b"(" + STATS + b"\x93o" + COMPUTED + b"b.", UNUSUAL, id="made by OBJ"),
        pytest.param(STATS + b"\x93)R" + COMPUTED + b"b.", UNUSUAL, id="made by REDUCE"),
        pytest.param(STATS + b"\x93)}\x92" + COMPUTED + b"b.", UNUSUAL, id="made by NEWOBJ_EX"),
        pytest.param(
            text("copyreg") + text("_reconstructor") + b"\x93" + STATS + b"\x93\x85R" + COMPUTED + b"b.",
            UNUSUAL,
            id="made by a rebuilder, from a tuple",
        ),
        pytest.param(b"(" + STATS + b"\x93icopyreg\n_reconstructor\n" + COMPUTED + b"b.", UNUSUAL, id="made by one, by INST"),
        pytest.param(STATS + b"\x93)\x81N" + b"b.", COMPUTES, id="a state that is no dictionary"),
        pytest.param(STATS + b"\x93)\x81" + KEY + b"b.", COMPUTES, id="a state that is made"),
        pytest.param(STATS + b"\x93)\x81}" + KEY + b"\x88sb.", COMPUTES, id="a key by SETITEM"),
        pytest.param(STATS + b"\x93)\x81(" + KEY + b"\x88db.", COMPUTES, id="a key by DICT"),
        pytest.param(STATS + b"\x93)\x81}" + b"Px\n" + b"\x88sb.", COMPUTES, id="a key that somebody else keeps"),
        pytest.param(STATS + b"\x93)\x81}" + b"N" + KEY + b"sb.", "", id="a value may be made"),
        pytest.param(STATS + b"\x93)\x81}" + text("endog") + b"Nsb.", "", id="keys that stand there"),
    ],
)
def test_a_state_of_statsmodels_stands_in_the_file(body, problem):
    """However the object is made and its dictionary filled: its formula is Python."""
    found = walked(b"\x80\x04" + body)
    assert (found.problem, found.hidden) == (problem, bool(problem))


@pytest.mark.parametrize(
    "spelled",
    [
        text("restore_model_spec"),
        text("restore_design_info"),
        b"X" + struct.pack("<I", 18) + b"restore_model_spec",
        b"\x8d" + struct.pack("<Q", 18) + b"restore_model_spec",
        b"U\x12restore_model_spec",
        b"T" + struct.pack("<i", 18) + b"restore_model_spec",
        b"S'restore_model_spec'\n",
        b'S"restore\\137model_spec"\n',
        b"Vrestore_model_spec\n",
        b"V\\u0072estore_model_spec\n",
    ],
    ids=["short", "its older name", "long", "8 bytes of length", "bytes", "long bytes", "quoted", "octal", "raw", "escaped"],
)
def test_the_key_that_evaluates_is_told_in_each_spelling(spelled):
    """As if it were an import: a reviewer may allow it by that name."""
    found = walked(b"\x80\x04" + spelled + b".")
    assert (list(found.globals), found.problem) == (["statsmodels.formula"], "")


@pytest.mark.parametrize(
    ("body", "names", "problem"),
    [
        pytest.param(b"cantigravity.\nx\n.", ["antigravity..x"], "it imports from what can be no module", id="a dot too many"),
        pytest.param(b"ca.b c\nx\n.", ["a.b c.x"], "it imports from what can be no module", id="no name behind the dot"),
        pytest.param(b"cno module\nx\n.", [], "it imports from what can be no module", id="no name at all"),
        pytest.param(b"c.a\nx\n.", [], "it imports from what can be no module", id="nothing before the dot"),
        pytest.param(b"c\nx\n.", [], "it imports from what can be no module", id="an empty name"),
        pytest.param(b"ca\n\n.", ["a."], "", id="a module and nothing of it"),
        pytest.param(b"c\xff\nx\n.", [], "the name of an import is not UTF-8", id="no UTF-8"),
        pytest.param("ckäse\nx\n.".encode(), ["käse.x"], "", id="another script"),
    ],
)
def test_what_is_imported_on_the_way_to_no_module_is_told(body, names, problem):
    """Python imports the package before it finds that the rest does not exist."""
    found = walked(body)
    assert (list(found.globals), found.problem) == (names, problem)


def test_python_imports_what_lies_before_the_dot(tmp_path, monkeypatch):
    """Shown with the real import that an unpickler makes."""
    (tmp_path / "imported_on_the_way.py").write_text("import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(b"cimported_on_the_way.\nx\n.")
    assert (tmp_path / "imported_on_the_way.ran").exists()


@pytest.mark.parametrize(
    ("body", "protocol", "name"),
    [
        (b"c__builtin__\neval\n.", None, "builtins.eval"),
        (b"c__builtin__\neval\n.", 2, "builtins.eval"),
        (b"c__builtin__\neval\n.", 3, "__builtin__.eval"),
        (b"citertools\nimap\n.", 2, "builtins.map"),
        (b"citertools\nchain\n.", 2, "itertools.chain"),
        (b"ccPickle\nloads\n.", 2, "pickle.loads"),
        (b"ccPickle\nloads\n.", 5, "cPickle.loads"),
    ],
    ids=["no protocol", "protocol 2", "protocol 3", "a name that moved", "one that stayed", "a module that moved", "new names"],
)
def test_names_of_python_2_are_those_of_python_3(body, protocol, name):
    """Below protocol 3, as the unpickler maps them."""
    start = b"" if protocol is None else bytes([0x80, protocol])
    assert list(walked(start + body).globals) == [name]


HIDDEN = {
    "EXT1": b"\x82\x01.",
    "EXT2": b"\x83\x01\x00.",
    "EXT4": b"\x84\x01\x00\x00\x00.",
    "a name out of a call": CALL + text("x") + b"\x93.",
    "a module of bytes": b"C\x02os" + text("x") + b"\x93.",
    "a name too long to keep": text("os") + b"X" + struct.pack("<I", 5000) + b"a" * 5000 + b"\x93.",
    "a call of a call": CALL + b")R.",
    "a call of a text": text("x") + b")R.",
    "NEWOBJ of what was made": CALL + b")\x81.",
    "NEWOBJ_EX of what was made": CALL + b")}\x92.",
    "OBJ of what was made": b"(" + CALL + b"o.",
    "OBJ of nothing": b"(o.",
    "a change by BUILD": text("a") + text("B") + b"\x93}b.",
    "a change by APPEND": text("a") + text("B") + b"\x93Na.",
    "a change by APPENDS": text("a") + text("B") + b"\x93(Ne.",
    "a change by SETITEM": text("a") + text("B") + b"\x93NNs.",
    "a change by SETITEMS": text("a") + text("B") + b"\x93(NNu.",
    "a change by ADDITEMS": text("a") + text("B") + b"\x93(N\x90.",
    "a change through the memo": text("a") + text("B") + b"\x93\x940h\x00}b.",
    "a change through a duplicate": text("a") + text("B") + b"\x932}b.",
    "PUT of thousands of digits": b"Np" + b"0" * 5000 + b"1\n.",
    "a far place in the memo": b"Nr\xff\xff\xff\x7f.",
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_cannot_be_followed_is_a_problem(name):
    """Something may run beyond: the file is refused even where no name was told."""
    found = walked(b"\x80\x04" + HIDDEN[name])
    assert found.hidden
    assert found.can_run
    assert found.problem
    ((_, kind, _, problem),) = told(HIDDEN[name])
    assert (kind, problem) == ("pickle", found.problem)


ENDED = {
    "STOP of nothing": (b".", "the pickle takes more from its stack than there is"),
    "no STOP": (b"N", "the pickle has no end"),
    "nothing": (b"", "the pickle has no end"),
    "no opcode": (b"N\xff", "byte 1 is no opcode of a pickle"),
    "POP of nothing": (b"0.", "the pickle takes more from its stack than there is"),
    "DUP of nothing": (b"2.", "the pickle takes more from its stack than there is"),
    "DUP of a mark": (b"(2.", "the pickle takes a mark for a value"),
    "a tuple without its mark": (b"Nt.", "the pickle takes more from its stack than there is"),
    "a tuple of a mark": (b"(\x85.", "the pickle takes a mark for a value"),
    "MEMOIZE of a mark": (b"(\x94.", "the pickle memorises nothing"),
    "PUT without a number": (b"Npx\n.", "a place in the memo has no number"),
    "GET without a number": (b"Ngx\n.", "a place in the memo has no number"),
    "PUT of a number and more": (b"Np1x\n.", "a place in the memo has no number"),
    "PUT of digits of another script": ("Np١\n.".encode(), "a place in the memo has no number"),
    "the name of an import that is no text": (b"cos\n\xff\n.", "the name of an import is not UTF-8"),
    "the name of a class that is no text": (b"(i\xff\nx\n.", "the name of an import is not UTF-8"),
    "an id that is no text": (b"Pa\xff\n.", "an id in the pickle is not ASCII"),
    "PUT of nothing": (b"p0\n.", "the pickle memorises nothing"),
    "PUT of a place below none": (b"Np-1\n.", "the pickle memorises nothing"),
    "GET of what is not there": (b"g0\n.", "the pickle reads what it has not memorised"),
    "an argument cut off": (b"J\x01\x00", "the pickle ends in the middle"),
    "a line without an end": (b"I1", "a line of the pickle has no end"),
    "a second line without an end": (b"cos\nx", "a line of the pickle has no end"),
    "a length past the end": (b"U\x05abcd", "a length in the pickle goes past its end"),
    "a negative length": (b"T\xff\xff\xff\xff.", "a length in the pickle goes past its end"),
    "a negative length of a number": (b"\x8b\xff\xff\xff\xff.", "a length in the pickle goes past its end"),
    "a length of 8 bytes": (b"\x8e" + b"\xff" * 8 + b".", "a length in the pickle goes past its end"),
    "a text with one quote": (b"S'\n.", "a text of the pickle is not in quotes"),
    "a text with two kinds": (b"S'a\"\n.", "a text of the pickle is not in quotes"),
    "a text without quotes": (b"Sa\n.", "a text of the pickle is not in quotes"),
    "a malformed escape": (b"S'\\x1'\n.", "an escape in a text of the pickle is malformed"),
}


@pytest.mark.parametrize("name", ENDED)
def test_where_the_unpickler_ends_the_walk_ends(name):
    """Nothing runs: it is no problem of a file that is no pickle, and one of a file that says to be one."""
    data, problem = ENDED[name]
    found = walked(data)
    assert (found.problem, found.hidden, found.can_run) == (problem, False, False)
    with pytest.raises((pickle.UnpicklingError, EOFError, ValueError, OverflowError, KeyError, IndexError, AttributeError)):
        pickle.loads(data)


def test_a_place_in_the_memo_is_no_higher_than_the_opcodes_so_far():
    """No pickler skips places; the unpickler would make room for each."""
    assert walked(b"Nq\x02.").problem == ""
    assert walked(b"Nq\x03.").problem == "a place in the memo has a number that no pickler would give it"


def test_a_number_ends_at_a_nul():
    """For the unpickler in C, and so for the walk: what comes after is run."""
    data = b"Np1\0x\n0g+1 \n0" + RUNS
    assert (walked(data).globals, walked(data).problem) == ({"posix.system": None}, "")
    assert pickle.loads(b"Np1\0x\n0g+1 \n.") is None


def test_plain_values_are_stepped_over_whatever_they_hold():
    """A stricter parser than the unpickler's would end where that one goes on."""
    values = [b"I0x1f\n", b"I00\n", b"I 7 \n", b"Fnan\n", b"F1e999\n", b"L1L\n", b"L1\n", b"\x8a\x00", b"\x8b" + bytes(4)]
    for value in values:
        assert walked(value + b"0" + RUNS).globals == {"posix.system": None}, value


@pytest.mark.parametrize("length", [operands.LONGEST_NAME - 1, operands.LONGEST_NAME, operands.LONGEST_NAME + 1])
def test_a_name_is_kept_up_to_the_longest(length):
    """A longer one cannot be told, so it is a problem."""
    found = walked(text("a") + b"X" + struct.pack("<I", length) + b"n" * length + b"\x93.")
    assert found.hidden is (length > operands.LONGEST_NAME)
    assert len(found.globals) == (length <= operands.LONGEST_NAME)


def test_a_line_longer_than_any_name_hides(monkeypatch):
    """One byte more than the longest."""
    monkeypatch.setattr(operands, "LONGEST_LINE", 100)
    assert walked(b"I" + b"1" * 99 + b"\n.").problem == ""
    found = walked(b"I" + b"1" * 100 + b"\n.")
    assert (found.hidden, found.problem) == (True, "a line of the pickle is longer than 0 MiB")


def test_too_many_names_or_opcodes_hide(monkeypatch):
    """The most is allowed, one more is not."""
    monkeypatch.setattr(pickles, "MOST_GLOBALS", 3)
    names = [b"ca\n%d\n0" % n for n in range(4)]
    assert walked(b"".join(names[:3]) + b"N.").problem == ""
    assert walked(b"".join(names) + b"N.").problem == "the pickle imports more than 3 names"
    assert walked(b"".join([*names[:3], *names[:3]]) + b"N.").problem == ""
    assert told(b"".join(b"\x80\x02" + name + b"N." for name in names))[0][3] == "its pickles import more than 3 names"
    monkeypatch.setattr(pickles, "MOST_OPCODES", 5)
    assert walked(b"NNNN.").problem == ""
    assert walked(b"NNNNN.").problem == "the pickle has more than 5 opcodes"


def test_the_deadline_ends_a_walk_and_a_row_of_pickles():
    """After some thousand opcodes of one, and after each of many."""
    late = time.monotonic() - 1
    found = pickles.walk(io.BytesIO(b"N0" * 5000 + b"N."), 10_002, until=late)
    assert (found.problem, found.hidden, found.opcodes) == ("the time for scanning is over", True, pickles._TICK)
    many = io.BytesIO(b"\x80\x02N." * 1000)
    with pytest.raises(LimitReached, match="the time for scanning is over"):
        look(Scan(late), "x", many, 4000, Declared())
    assert many.tell() < 100


def test_what_was_told_before_the_end_stays_told():
    """It ran; in the order of first use, each once."""
    body = b"ca\nb\n0cc\nd\n0ca\nb\n0" + b"\xff"
    assert list(walked(body).globals) == ["a.b", "c.d"]
    assert told(body) == [("x", "pickle", ("a.b", "c.d"), "byte 18 is no opcode of a pickle")]
