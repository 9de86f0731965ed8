"""What is told of a pattern is part of every string that it matches."""

import itertools
import random
import re

import pytest

from channels.literals import literals

#: What random patterns are put together from; most of what comes out is valid.
PIECES = (
    *("a", "b", "A", "Z", "x", "0", "1", "4", "u0061", "N{DIGIT ONE}", "\n", " ", "#", "-", ","),
    *("(?:", "(?P<n>", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?(n)", "(?P=n)", "(?#", ")"),
    *("(?x:", "(?i:", "(?-i:", "(?s-x:", "[", "]", "^", "$", "|", "*", "+", "?", "{", "}", "."),
    *("\\", r"\x41", r"\Z", r"\A", r"\b", r"\$", r"\#", "\\\n"),
)
HEADS = ("", "", "^", "(?i)", "(?x)", "(?m)", "(?s)", "(?a)")
TAILS = ("", "$", r"\Z")

#: Every short string over a small alphabet, and some that have what stands in escapes.
VALUES = (
    *("".join(each) for length in range(4) for each in itertools.product("abA1\n", repeat=length)),
    *(
        "x41",
        "41",
        "a$",
        "[a]",
        "{2}",
        "a{2}",
        "a,b",
        "ab#",
        "a#",
        "-a",
        "(a)",
        "u0061",
        "A4",
        "ZZ",
    ),
)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_literals_are_part_of_every_string_that_matches() -> None:
    source = random.Random(1)
    told = 0
    for _ in range(15_000):
        body = "".join(source.choices(PIECES, k=source.randint(1, 7)))
        try:
            pattern = re.compile(source.choice(HEADS) + body + source.choice(TAILS))
        except (re.error, OverflowError):
            continue
        start, end = literals(pattern)
        if not (start or end):
            continue
        told += 1
        for value in filter(pattern.match, VALUES):
            assert value.startswith(start), (pattern, value)
            assert value.removesuffix("\n").endswith(end), (pattern, value)
    assert told > 1_000


@pytest.mark.parametrize(
    ("pattern", "start", "end"),
    [
        (r"^/chat/$", "/chat/", "/chat/"),
        (r"/chat/\Z", "/chat/", "/chat/"),
        (r"^/chat", "/chat", ""),
        (r"^/chat/(?P<room>\w+)/stream/$", "/chat/", "/stream/"),
        (r"^/a\.b\-c", "/a.b-c", ""),
        (r"^/ab?c$", "/a", "c"),
        (r"^/ab{2}c$", "/a", "c"),
        (r"^/ab{,}c$", "/a", "c"),
        (r"^/ab*?c$", "/a", "c"),
        (r"^/ab{2}+c$", "/a", "c"),
        (r"^/ab{x}$", "/a", "x}"),
        (r"^/a|^/b", "", ""),
        (r"^/(?:a|b)/c$", "/", "/c"),
        (r"^/[a)]/(?:[)(]\)|x)z$", "/", "z"),
        (r"^/[]|(]z$", "/", "z"),
        (r"^/[^]|(]z$", "/", "z"),
        (r"^/a(?<=a)z$", "/a", "z"),
        (r"^/(?P<x>a)?(?(x)b|c)z$", "/", "z"),
        (r"\d+/c$", "", "/c"),
        (r"^a^b$", "a", "b"),
        ("^a\nb$", "a\nb", ""),
        (r"^a\$", "a$", ""),
        (r"^POST$", "POST", "POST"),
        (r"", "", ""),
        (r"$", "", ""),
        (r"^", "", ""),
    ],
)
def test_literals_of_a_pattern(pattern: str, start: str, end: str) -> None:
    assert literals(re.compile(pattern)) == (start, end)


@pytest.mark.parametrize(
    "pattern",
    [r"(?i)^/chat/$", r"(?x)^/chat/$", r"^/a(?#comment)b$", r"^/a(?x: b # (" + "\n)c$"],
)
def test_nothing_is_told_where_characters_mean_something_else(pattern: str) -> None:
    assert literals(re.compile(pattern)) == ("", "")


@pytest.mark.parametrize("flags", [re.IGNORECASE, re.VERBOSE, re.IGNORECASE | re.DOTALL])
def test_nothing_is_told_under_flags_that_change_characters(flags: re.RegexFlag) -> None:
    assert literals(re.compile("^/chat /$", flags)) == ("", "")


@pytest.mark.parametrize(
    "escape",
    [r"\x41", r"\u0041", r"\U00000041", r"\N{LATIN CAPITAL LETTER A}", r"\101", r"\01", r"\n"],
)
def test_digits_and_names_of_escapes_are_no_literals(escape: str) -> None:
    assert literals(re.compile(f"^/{escape}$")) == ("", "")


def test_numbers_of_references_are_no_literals() -> None:
    groups = "".join(f"(?P<x{number}>a)" for number in range(12))
    assert literals(re.compile(rf"^{groups}\12$")) == ("", "")


def test_the_end_is_told_of_patterns_without_lines_alone() -> None:
    assert literals(re.compile("(?m)^/chat/$")) == ("", "")
    assert literals(re.compile("^/chat/$", re.MULTILINE)) == ("/chat/", "")
