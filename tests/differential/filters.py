"""Generated filters and orders: mostly of the grammar of contract 4, some broken on purpose."""

from __future__ import annotations

from random import Random

from differential.routes import RM

MARKER = "mlflow.prompt.is_prompt"

TAG_KEYS = ("k", "n", "color", "a.b", "with space", "x-y", "mlflow.prompt.is_prompt", "é")
TAG_VALUES = ("", "v", "V", "red", "it''s", "5", "50%", "a_b", "true", "É", "line\nbreak", "(x)")
NAMES = ("@@a", "@@b", "@@A", "@@B", "@@absent")
PATTERNS = (
    "%", "@@%", "@@a", "@@_", "%a", "%A%", "_%", "", "%%", "@@[ab]", "*", "r_d", "%e%", "V", "v%",
    "é", "É", "%é%", "S3://%", "s3://b/%", "%P%", "50%", "50\\%", "a\\_b", "true",
)  # fmt: skip
WORDS = {
    "=": ("=",),
    "!=": ("!=",),
    "LIKE": ("LIKE", "like", "Like"),
    "ILIKE": ("ILIKE", "ilike"),
    "IN": ("IN", "in"),
    "NOT IN": ("NOT IN", "not in", "NOT  IN"),
    "<": ("<",),
    "<=": ("<=",),
    ">": (">",),
    ">=": (">=",),
}
BROKEN = (
    "name", "name =", "= 'x'", "name == 'x'", "name <> 'x'", "name = x", "name = 'x", "name = 5",
    "name = NULL", "name IS NULL", "name IS NOT NULL", "name NOT LIKE 'x'", "name RLIKE 'x'",
    "name BETWEEN 'a' AND 'b'", "NOT name = 'x'", "(name = 'x')", "name = ('x')", "name = 'a' 'b'",
    "name = 'a' OR name = 'b'", "name = 'a', name = 'b'", "name = 'a';", "name = 'a'; name = 'b'",
    "name = 'a' -- c", "name = 'a' /* c */", "lower(name) = 'x'", "name = lower('X')", "*", "1 = 1",
    "'a' = 'a'", "name = name", "Name = 'x'", "NAME = 'x'", "`name` = 'x'", "\"name\" = 'x'",
    "attribute.name = 'x'", "attributes.name = 'x'", "attr.name = 'x'", "Attribute.name = 'x'",
    "tag.k = v", "tag.k = 5", "tag.k IN ('v')", "tag.k > 'v'", "tag.k = ('v')", "tag. = 'v'",
    "tag.`` = 'v'", "tag = 'v'", "Tags.k = 'v'", "TAG.k = 'v'", "tags.x-y = 'v'", "tags.x:y = 'v'",
    "tags.'k' = 'v'", "tags.\"k\" = 'v'", "tags.`k = 'v'", "tags.1 = 'v'", "tags.1a = 'v'",
    "tags.k.l = 'v'", "params.k = 'v'", "metrics.k > 5", "a.b.c = 'x'", "stage = 'None'",
    "description = 'x'", "creation_timestamp > 5", "last_updated_timestamp > 5", "status = 'READY'",
    "user_id = 'x'", "version = 1", "current_stage = 'None'", "aliases = 'a'", "alias = 'a'",
    "order = 'x'", "select = 'x'", "value = 'x'", "type = 'x'", "owner = 'x'", "source = 'x'",
    "run_link = 'x'", "name IN ()", "name IN ('a', 5)", "name IN (a)", "name IN 'a'", "name IN (5)",
    "name IN ('a'", "name IN ['a']", "name IN ('a',)", "name IN (('a'))", "name IN ('a' 'b')",
    "name IN ('it\\'s')", 'name IN ("a")', "name IN ('a','b',)", "name IN (NULL)", "name IN",
    "run_id IN (1)", "run_id = 5", "source_path = 5", "version_number = 'x'", "version_number = 1.0",
    "version_number = '1'", "version_number = -1", "version_number = 1e1", "version_number LIKE '1'",
    "version_number IN (1)", "version_number = '1.0'", "version_number = ''", "version_number = +1",
    "version_number = 99999999999999999999", 'version_number != "2"', "version_number = 0x1",
    "source_path IN ('a')", "source_path NOT IN ('a')", "run_id > 'a'", "name < 'a'",
    " ", "\n", ";", "'", '"', "`", "()", "AND", "and and", "name = 'a' AND", "AND name = 'a'",
    "name = 'a' AND AND name = 'a'", "name = 'a' name = 'a'", "name='a'AND name='a'", "name=''",
    "name = ''''", "name = \"'\"", "name = '\"'", "name = 'a\"", "name = 'AND'", "name = 'a AND b'",
    "name = '--'", "name = ';'", "name LIKE", "name LIKE 5", "name ILIKE x", "name like'a'",
    "name LIKE '\\'", "tag.k LIKE '%\\'", "name = '\\'", "name = %s", "name = ?", "name = :x", "name = @x",
    "evilhax = true", "true = 'x'", "name LIKE FALSE", "true", "tag.k != true", "tags.from = 'v'",
    "tags.in = 'v'", "tags.k.case = 'v'", "tags.values LIKE 'v'", "tags.select = 'v'", "name = end",
    "name = $1", "name = 'a' LIMIT 1", "name = 'a' ORDER BY name", "name = 'a' UNION SELECT 1",
    "1; DROP TABLE registered_models", "name = 'a' AND 1=1", "name = TRUE", "name = 0x61", "é = 'a'",
    "name = 'a' && name = 'a'", "name = 'a' || 'b'", "name = 'a' & name = 'b'", "name + 'a' = 'b'",
    "name = 1 + 1", "name = 'a' COLLATE nocase", "name ESCAPE 'a'", "CASE WHEN 1 THEN 1 END = 1",
    "name = b'a'", "name = N'a'", "name = E'a'", "name != 'a' != 'b'", "name = = 'a'", "name ! = 'a'",
    "name > = 'a'", "name =! 'a'", "tags . k = 'v'", "tags.k  =  'v'", "\ttags.k\n=\r\n'v'", "tags .k = 'v'",
    "tags. k = 'v'", "name.x = 'v'", "tags..k = 'v'", "tags.k. = 'v'", ".k = 'v'", "run_id = ''",
)  # fmt: skip


def filter_text(random: Random, path: str) -> str:
    """A filter: clauses of the grammar, mostly; a broken text, or a broken clause among others."""
    roll = random.random()
    if roll < 0.12:
        return random.choice(BROKEN)
    clauses = [clause(random, path) for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3)))]
    if roll < 0.2:
        clauses.insert(random.randrange(len(clauses) + 1), random.choice(BROKEN))
    joined = random.choice((" AND ", " AND ", " and ", " And ", "\nAND\t", "  AND  ")).join(clauses)
    return _damaged(random, joined) if roll > 0.95 else joined


def clause(random: Random, path: str) -> str:
    """One clause of the grammar for that search."""
    kinds = ["name", "tag", "tag", "tag"]
    if not path.startswith(RM):
        kinds += ["run_id", "source_path", "version_number", "version_number"]
    kind = random.choice(kinds)
    if kind == "version_number":
        operator = random.choice(("=", "!=", "<", "<=", ">", ">="))
        number = random.randint(-1, 5)
        value = random.choice((str(number), str(number), f"'{number}'", f'"{number}"'))
        return _joined(random, _attribute(random, kind), operator, value)
    operators = ["=", "!=", "LIKE", "ILIKE", "LIKE", "ILIKE"]
    if kind in ("name", "run_id"):
        operators += ["IN", "NOT IN"]
    operator = random.choice(operators)
    left = _tag(random) if kind == "tag" else _attribute(random, kind)
    return _joined(random, left, operator, _value(random, kind, operator))


def order_by(random: Random, path: str) -> list[str]:
    """Some order keys: of the grammar, mostly."""
    keys = ["name", "name", "last_updated_timestamp", "timestamp"]
    if not path.startswith(RM):
        keys += ["version_number", "version_number", "creation_timestamp", "attribute.name"]
    broken = (
        "", " ", "name ", " name", "name DESCENDING", "name asc desc", "name, version_number",
        "NAME", "Timestamp", "`name`", '"name"', "'name'", "tags.k", "tag.k ASC", "description",
        "attribute.name", "version", "creation_timestamp", "version_number", "run_id",
        "name  DESC", "name\tASC", "name;", "1", "name NULLS FIRST", "aliases", "é", "source_path",
        "attribute.timestamp", "last_updated_timestamp DESC", "timestamp desc", "-name", "random()",
    )  # fmt: skip
    found: list[str] = []
    chosen = random.sample(keys, random.choice((0, 0, 1, 1, 1, 2, 2, 3)))
    for key in chosen:
        if key in " ".join(found) and random.random() < 0.9:
            continue  # a key twice is refused
        if random.random() < 0.1:
            found.append(random.choice(broken))
        else:
            direction = random.choice(("", "", " ASC", " DESC", " DESC", " asc", " desc", " Desc"))
            found.append(key + direction)
    return found


def _attribute(random: Random, name: str) -> str:
    return random.choice((name, name, name, f"attribute.{name}"))


def _tag(random: Random) -> str:
    key = random.choice(TAG_KEYS)
    prefix = random.choice(("tag", "tags"))
    bare = all(part.isidentifier() and part.isascii() for part in key.split("."))
    forms = [f"`{key}`", f"`{key}`", f'"{key}"', f"'{key}'"]
    return f"{prefix}.{random.choice([key] * 3 + forms if bare else forms)}"


def _value(random: Random, kind: str, operator: str) -> str:
    values = {
        "name": NAMES,
        "tag": TAG_VALUES,
        "run_id": ("", "r1", "R1", "r2"),
        "source_path": ("s3://b/p", "s3://b/P", "gs://b/x y", "models:/@@a/1", "dummy-source"),
    }[kind]
    if operator in ("LIKE", "ILIKE"):
        values = PATTERNS + values
    if operator in ("IN", "NOT IN"):
        chosen = [_quoted(random, random.choice(values)) for _ in range(random.randint(1, 3))]
        return f"({random.choice((', ', ',', ' , ')).join(chosen)})"
    return _quoted(random, random.choice(values))


def _quoted(random: Random, text: str) -> str:
    quote = '"' if "'" in text or random.random() < 0.2 else "'"
    return f"{quote}{text}{quote}"


def _joined(random: Random, left: str, operator: str, right: str) -> str:
    space = random.choice((" ", " ", " ", "", "  ", "\n"))
    word = random.choice(WORDS[operator])
    around = space if not word[0].isalpha() else (space or " ")
    return f"{left}{around}{word}{around}{right}"


def _damaged(random: Random, text: str) -> str:
    if not text:
        return text
    at = random.randrange(len(text))
    return random.choice(
        (
            text[:at] + text[at + 1 :],
            text[:at] + random.choice("'\"`()=!<>,;.-% \\\n5aé*") + text[at:],
            text[:at],
            text[at:],
            text + text,
            text[:at] + text[at:].swapcase(),
        )
    )
