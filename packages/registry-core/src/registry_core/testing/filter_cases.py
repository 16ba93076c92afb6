"""Filters, and what each of them finds: the cases of `filtering`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from registry_core import validation
from registry_core.testing.samples import EMOJI

Cases: TypeAlias = Mapping[str, str]
"""Filters, and what each of them finds, as words in a row."""


LONG = "x" * (validation.TAG_VALUE_MAX_LENGTH - 1)
"""One character short of the longest tag value."""


# A text per letter, so that tables stay readable.
TEXTS = {
    "a": "abc",
    "b": "ABC",
    "c": "aBc",
    "d": "a%c",
    "e": "a_c",
    "f": "a\\c",
    "g": "a\\%c",
    "h": "a\nc",
    "i": f"a{EMOJI}c",
    "j": "abcd",
    "k": "xabc",
    "l": "a.c",
    "m": "a*c",
    "n": "[a]c",
    "o": "abc ",
    "p": "abc\\",
    "q": "\u00e9t\u00e9",
    "r": "\u00c9T\u00c9",
    "s": "e\u0301te\u0301",
    "t": "stra\u00dfe",
    "u": "STRASSE",
    "v": "\u0130x",
    "w": "\u03a3\u03b1\u03c3",
    "x": "it's",
    "y": 'say "x"',
    "z": "100%",
}


TEXT_CASES: Cases = {
    # Equality: code point by code point.
    "{} = 'abc'": "a",
    "{} = 'ABC'": "b",
    "{} = 'abc '": "o",
    "{} = 'a%c'": "d",
    "{} = 'a_c'": "e",
    r"{} = 'a\c'": "f",
    r"{} = 'a\%c'": "g",
    "{} = 'a\nc'": "h",
    "{} = '\u00e9t\u00e9'": "q",
    "{} = 'e\u0301te\u0301'": "s",
    "{} = 'strasse'": "",
    '{} = "it\'s"': "x",
    "{} = 'say \"x\"'": "y",
    "{} = 'zzz'": "",
    "{} != 'abc'": "b c d e f g h i j k l m n o p q r s t u v w x y z",
    "{} != 'zzz'": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    # LIKE: case counts, anchored at both ends.
    "{} LIKE 'abc'": "a",
    "{} LIKE 'ABC'": "b",
    "{} LIKE 'abc%'": "a j o p",
    "{} LIKE '%abc'": "a k",
    "{} LIKE '%abc%'": "a j k o p",
    "{} LIKE '%b%'": "a j k o p",
    "{} LIKE 'A%'": "b",
    "{} LIKE ''": "",
    "{} LIKE '%'": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "{} LIKE '%%%'": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "{} LIKE 'a%c%d'": "j",
    "{} LIKE 'a%b%c%'": "a j o p",
    "{} LIKE '%c%b%'": "",
    "{} LIKE 'ab%bc'": "",
    # LIKE: an underscore is one character, whatever its bytes, a newline too.
    "{} LIKE 'a_c'": "a c d e f h i l m",
    "{} LIKE '___'": "a b c d e f h i l m q r w",
    "{} LIKE '_'": "",
    "{} LIKE '__'": "v",
    "{} LIKE 'a__c'": "g",
    "{} LIKE '_bc_'": "j o p",
    "{} LIKE 'a%c'": "a c d e f g h i l m",
    # LIKE: a backslash escapes a wildcard or itself, and is itself before anything else.
    r"{} LIKE 'a\%c'": "d",
    r"{} LIKE 'a\_c'": "e",
    r"{} LIKE 'a\c'": "f",
    r"{} LIKE 'a\\c'": "f",
    r"{} LIKE 'a\\\%c'": "g",
    r"{} LIKE 'a\\%c'": "f g",
    r"{} LIKE 'a\\_c'": "g",
    r"{} LIKE '%\%%'": "d g z",
    r"{} LIKE '%\%'": "z",
    r"{} LIKE '%\_%'": "e",
    r"{} LIKE '%\\%'": "f g p",
    "{} LIKE 'abc\\'": "p",
    "{} LIKE '%\\'": "p",
    r"{} LIKE 'a\bc'": "",
    r"{} LIKE '100\%'": "z",
    # LIKE: characters that mean something elsewhere mean nothing here.
    "{} LIKE 'a.c'": "l",
    "{} LIKE 'a*c'": "m",
    "{} LIKE 'a?c'": "",
    "{} LIKE '[a]c'": "n",
    "{} LIKE '[a%'": "n",
    "{} LIKE 'a*'": "",
    "{} LIKE '.*'": "",
    "{} LIKE '^a%'": "",
    '{} LIKE "%\'%"': "x",
    "{} LIKE '%\"x\"'": "y",
    "{} LIKE '\u00e9%'": "q",
    "{} LIKE 'e%'": "s",
    # ILIKE: folds case in all scripts, as `str.lower` does, and nothing else.
    "{} ILIKE 'abc'": "a b c",
    "{} ILIKE 'ABC'": "a b c",
    "{} ILIKE 'ABC%'": "a b c j o p",
    "{} ILIKE '%BC'": "a b c k",
    "{} ILIKE '\u00e9t\u00e9'": "q r",
    "{} ILIKE '\u00c9T\u00c9'": "q r",
    "{} ILIKE '\u00c9%'": "q r",
    "{} ILIKE 'E\u0301TE\u0301'": "s",
    "{} ILIKE 'STRASSE'": "u",
    "{} ILIKE 'stra\u00dfe'": "t",
    "{} ILIKE 'stra%'": "t u",
    "{} ILIKE 'i\u0307X'": "v",
    "{} ILIKE '\u03c3%'": "w",
    "{} ILIKE '\u03a3\u0391%'": "w",
    '{} ILIKE "IT\'S"': "x",
    r"{} ILIKE 'A\%C'": "d",
    r"{} ILIKE 'A\_C'": "e",
    r"{} ILIKE 'A\\C'": "f",
    "{} ILIKE 'ABC\\'": "p",
    "{} ILIKE 'A_C'": "a b c d e f h i l m",
    # Several clauses about one text.
    "{} LIKE 'a%' AND {} LIKE '%d'": "j",
    "{} LIKE 'a_c' AND {} != 'abc' AND {} != 'aBc'": "d e f h i l m",
    "{} = 'abc' AND {} = 'ABC'": "",
    "{} ILIKE 'abc' AND {} LIKE 'a%'": "a c",
}
"""What comparisons with a text mean, wherever the text is; `{}` is the identifier."""


LIST_CASES: Cases = {
    "{} IN ('abc')": "a",
    "{} IN ('abc', 'ABC', 'zzz')": "a b",
    "{} IN ('abc', 'abc')": "a",
    "{} IN ('a%c', 'a_c')": "d e",
    "{} IN ('it\\'s', \"abc \")": "o x",
    "{} IN ('zzz')": "",
    "{} NOT IN ('zzz')": "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "{} NOT IN ('abc', 'ABC', 'aBc')": "d e f g h i j k l m n o p q r s t u v w x y z",
    "{} IN ('abc', 'aBc') AND {} NOT IN ('abc')": "c",
    "{} IN ('abc', 'abcd') AND {} LIKE '%d'": "j",
}
"""As `TEXT_CASES`, for the attributes that take lists."""


ABSENCE_CASES: Cases = {
    "{} = ''": "empty",
    "{} != ''": "full",
    "{} != 'x'": "empty full",
    "{} LIKE '%'": "empty full",
    "{} LIKE ''": "empty",
    "{} ILIKE '%'": "empty full",
    "{} LIKE '_%'": "full",
}
"""Of an absent, an empty and a full text: the absent one matches nothing at all."""


NUMBER_CASES: Cases = {
    "version_number = 2": "2",
    "version_number = '2'": "2",
    "version_number != 2": "1 3 10 11",
    "version_number < 3": "1 2",
    "version_number <= 3": "1 2 3",
    "version_number > 3": "10 11",
    "version_number >= 10": "10 11",
    "version_number > 1 AND version_number < 11": "2 3 10",
    "version_number > 1 AND version_number != 2 AND version_number <= 10": "3 10",
    "version_number = 4": "",
    "version_number = 0": "",
    "version_number = -1": "",
    "version_number > -1": "1 2 3 10 11",
    "version_number != -1": "1 2 3 10 11",
    "version_number < 1": "",
    "version_number <= 2147483647": "1 2 3 10 11",
    "version_number > 2147483646": "",
    "version_number < 2147483648": "1 2 3 10 11",
    "version_number = 2147483648": "",
    "version_number != 9223372036854775808": "1 2 3 10 11",
    "version_number >= 9223372036854775808": "",
    "version_number < 1000000000000000000000000000000": "1 2 3 10 11",
    "version_number > -1000000000000000000000000000000": "1 2 3 10 11",
}
"""Of the versions 1, 2, 3, 10 and 11."""


TAG_CASES: Cases = {
    "tags.team = 'red'": "one two",
    "tag.team = 'red'": "one two",
    "tags.team = 'blue'": "three",
    "tags.team != 'red'": "three",
    "tags.team != 'none'": "one two three",
    "tags.team = 'red' AND tags.size = '1'": "one",
    "tags.team = 'red' AND tags.size != '1'": "two",
    "tags.team LIKE 'r%' AND tags.team != 'red'": "",
    "tags.team ILIKE 'R%' AND tags.team LIKE '%d'": "one two",
    "tags.team = 'red' AND tags.team = 'blue'": "",
    "tags.Team = 'red'": "four",
    "tags.TEAM = 'red'": "",
    "tags.absent != 'x'": "",
    "tags.absent LIKE '%'": "",
    "tags.team != 'x' AND tags.absent != 'x'": "",
    "tags.`a/b` = 'slash'": "one",
    "tags.`a:b` = 'colon'": "one",
    "tags.a.b = 'dot'": "one",
    "tags.`a b` = 'space'": "one",
    "tags.\"a-b\" = 'dash'": "one",
    "tags.\u00e9 = 'accent'": "one",
    "tags.name = 'no attribute'": "one",
    "tags.empty = ''": "two",
    "tags.empty != 'x'": "two",
    "name != 'one' AND tags.team = 'red'": "two",
    "name LIKE 't%' AND tags.team LIKE '%'": "two three",
    "tags.`mlflow.prompt.is_prompt` = 'true'": "prompt",
    "tags.`mlflow.prompt.is_prompt` != 'false'": "prompt",
}
"""Of `TAGGED`."""


TAGGED: Mapping[str, Mapping[str, str]] = {
    "one": {
        "team": "red",
        "size": "1",
        "a/b": "slash",
        "a:b": "colon",
        "a.b": "dot",
        "a b": "space",
        "a-b": "dash",
        "\u00e9": "accent",
        "name": "no attribute",
    },
    "two": {"team": "red", "size": "2", "empty": ""},
    "three": {"team": "blue", "size": "1"},
    "four": {"Team": "red"},
    "five": {},
    "prompt": {"mlflow.prompt.is_prompt": "true"},
}
