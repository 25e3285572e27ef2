"""Where keys stand: the scanner and tomllib know the same paths, and the lines are those of a document we wrote."""

import contextlib
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.toml_lines import line_of, lines_of


def paths_of(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_of(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


def check(text):
    assert set(lines_of(text)) == set(paths_of(tomllib.loads(text)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment",
        "a = 1",
        "a.b.c = 1\na.b.d = 2\na . e = 3",
        '"a.b" = 1\n\'c d\'."e\\u0041\\n" = 2\n"" = 3',
        "[a]\nb = 1\n[a.c]\nd = 2\n[e.f]\n",
        "[ a . 'b c' ]\nx = 1",
        "[[a]]\nb = 1\n[[a]]\n[[a.c]]\nd = 1\n[[a.c]]\n[a.e]\nf = 1\n[[a]]\n[a.e]\nf=2",
        "a = [1, 2, [3, 4], [[]]]\nb = []",
        "a = [ # comment ]\n  1, # 2,\n\n  'x]',\n]\nb = 1",
        "a = {b = 1, c = {d = [1, {e = 2}]}, f.g = 3}\nh = {}",
        'a = """\nb = 1\n[c]\n"""\nd = 1',
        'a = """x\\"""y"""\nb = """q"""""\nc = """"q"""\nd = """""" \ne = 1',
        "a = '''\n[x]\n'''\nb = '''q'''''\nc = ''''q'''\nd = 1",
        'a = "\\" # \\\\"\nb = \'\\\'\nc = 1',
        "a = 1979-05-27 07:32:00Z\nb = [1979-05-27 07:32:00, 07:32:00]\nc = 1979-05-27 # x",
        "a = +1_000\nb = -inf\nc = nan\nd = 0xff\ne = 1e5\nf = true",
        "a = 1\r\n[b]\r\nc = '''\r\nx'''\r\nd = 1\r\n",
        "1.2 = 3",
        "a.b = [{c = 1}, {c = 2, d = 'x'}]",
        "[a.b.c]\n[a]\nx = 1\n[a.b]\ny = 2",
    ],
)
def test_the_same_paths_as_tomllib(text):
    check(text)


def test_lines():
    text = "\n# x\na = 1\n[b]\nc = '''\n\n'''\nd = [\n  1,\n  2]\n\n[[e]]\nf = 1\n[[e]]\n\ng.h = {i = 1, j =\t2}\n"
    lines = lines_of(text)
    assert lines[("a",)] == 3
    assert lines[("b",)] == 4
    assert lines[("b", "c")] == 5
    assert lines[("b", "d")] == 8
    assert lines[("b", "d", 0)] == 9
    assert lines[("b", "d", 1)] == 10
    assert lines[("e",)] == 12
    assert lines[("e", 0)] == 12
    assert lines[("e", 0, "f")] == 13
    assert lines[("e", 1)] == 14
    assert lines[("e", 1, "g")] == lines[("e", 1, "g", "h", "j")] == 16
    assert line_of(lines, ("e", 0, "absent", "deeper")) == 12
    assert line_of(lines, ("absent",)) == 1


# --- Documents of our own making, whose lines we know ----------------------------------------------------------------

bare_keys = st.text("abcXYZ019_-", min_size=1, max_size=4)
quoted_keys = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=12)


def basic(text):
    escaped = "".join(f"\\u{ord(c):04x}" if c in '"\\' or ord(c) < 0x20 or ord(c) == 0x7F else c for c in text)
    return f'"{escaped}"'


def long_basic(text):
    escaped = "".join(
        f"\\u{ord(c):04x}" if c in '"\\' or (ord(c) < 0x20 and c not in "\t\n") or ord(c) == 0x7F else c for c in text
    )
    return f'"""{escaped}"""'


def long_literal(text):
    kept = "".join(c for c in text if c in "\t\n" or (ord(c) >= 0x20 and ord(c) != 0x7F))
    return "'''" + kept.replace("'''", "").rstrip("'") + "'''"


scalars = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.floats().map(repr),
    st.sampled_from(["true", "false", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00.5-07:00", "07:32:00", "1979-05-27"]),
    texts.map(basic),
    texts.map(long_basic),
    texts.map(long_literal),
)
keys = st.one_of(bare_keys, quoted_keys.map(basic))
spaces = st.sampled_from(["", " ", "\t "])
breaks = st.sampled_from(["", " ", "\n", " # a ] comment, with \"quotes' [\n", "\n\n\t"])


@st.composite
def arrays(draw, inner):
    items = draw(st.lists(inner, max_size=4))
    text = "["
    for item in items:
        text += draw(breaks) + item + draw(breaks) + ","
    if items and draw(st.booleans()):
        text = text[:-1]
    return text + draw(breaks) + "]"


@st.composite
def inline_tables(draw, inner):
    items = draw(st.dictionaries(st.integers(0, 9).map(lambda n: f"k{n}"), inner, max_size=3))
    pad = draw(spaces)
    return "{" + ",".join(f"{pad}{key}{pad}={pad}{value}{pad}" for key, value in items.items()) + "}"


values = st.recursive(scalars, lambda inner: arrays(inner) | inline_tables(inner), max_leaves=6)


@given(st.lists(st.tuples(keys, values, breaks), max_size=5))
def test_any_document_of_pairs_has_tomllibs_paths(pairs):
    seen = {}
    for key, value, filler in pairs:
        name = next(iter(tomllib.loads(f"{key} = 1")))
        seen.setdefault(name, f"{key} = {value}\n{filler if filler.endswith(chr(10)) else ''}")
    check("".join(seen.values()))


@given(st.data())
def test_every_header_pair_and_element_is_at_the_line_we_wrote_it(data):
    lines = []
    expected = {}
    counts = {}
    for number in range(data.draw(st.integers(0, 6))):
        is_array = data.draw(st.booleans())
        name = data.draw(st.sampled_from(["link", "desk"])) if is_array else f"section{number}"
        lines += [""] * data.draw(st.integers(0, 2))
        lines.append(f"[[{name}]] # here" if is_array else f"[{name}]")
        path = (name,)
        if is_array:
            path = (name, counts.setdefault(name, 0))
            counts[name] += 1
        expected[path] = len(lines)
        for key in range(data.draw(st.integers(0, 3))):
            value = data.draw(values)
            expected[(*path, f"k{key}")] = len(lines) + 1
            lines += f"k{key} = {value}".split("\n")
    found = lines_of("\n".join(lines))
    assert {path: found[path] for path in expected} == expected
    check("\n".join(lines))


@given(st.text(alphabet="ab=.[]{}\"'\n,# 1\\", max_size=30))
def test_whatever_tomllib_accepts_is_scanned_alike(text):
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with contextlib.suppress(ValueError):  # any answer or ValueError, but an answer
            lines_of(text)
    else:
        check(text)
