"""Spellings that have led servers out of their artifact roots, as they stand in a request line."""

from __future__ import annotations

TRICKS: dict[str, tuple[bytes, ...]] = {
    "climbing": (b"..", b"../secret", b"a/../../secret", b"a/..", b"a/../b", b"../../../../etc/hostname"),
    "encoded": (b"%2e%2e/secret", b"%2e%2e%2fsecret", b"..%2fsecret", b"a%2f..%2f..%2fsecret", b".%2e/secret"),
    "encoded twice": (b"%252e%252e%252fsecret", b"%252e%252e/secret", b"..%252fsecret", b"a%252fb"),
    "encoded often": (b"%25252e%25252e%25252fsecret", b"%2525252e%2525252e/secret", b"%25%32%65%25%32%65/secret"),
    "backslash": (b"..\\secret", b"..%5csecret", b"a%5c..%5c..%5csecret", b"%255c", b"a\\b", b"%5c%5chost%5cshare"),
    "NUL and controls": (b"%00", b"a%00b", b"a%00/../secret", b"a%0ab", b"a%0d%0ab", b"a%7f", b"a%09", b"a%2500"),
    "absolute": (b"/etc/hostname", b"//proc/self/root", b"%2fetc%2fhostname", b"%252fetc", b"/proc/self/cwd"),
    "file:": (b"file:/etc/hostname", b"file:///etc/hostname", b"file%3a///etc", b"FILE:%2f%2fetc", b"file%253a/etc"),
    "other schemes": (b"http://h/x", b"s3://b/x", b"a/s3:/x", b"mlflow-artifacts:/x"),
    "fragment": (b"%23", b"a/%23b", b"%23/../secret", b"%2523b", b"..%23/secret", b"a/..%2523x", b"x%23/../../secret"),
    "parameters": (b"..;/secret", b"..%3b/secret", b"a/..;x=y/secret", b";/secret", b"..%3f/secret", b"a/..%3fx/b", b"%3fx"),
    "drive": (b"C:/x", b"c:x", b"C%3a%5cx", b"C:%5Cwindows", b"z%3a", b"a/c:x", b"a/C%253a"),
    "not normal": (b".", b"./a", b"a/./b", b"a/.", b"a//b", b"a%2f/b", b"a/%20/b", b"%20", b"a/.%20/b", b"..%20/secret"),
    "ours": (b".registry", b".registry/manifests/x", b"%2eregistry/collectors/x", b".Registry/x", b".REGISTRY/writers/y"),
    "other forms": (b"e%CC%81", b"%E2%84%AB", b"a/%E1%84%80%E1%85%A1"),
    "look-alikes": (b"%EF%BC%8E%EF%BC%8E/secret", b"%E2%80%A5/secret", b"a%EF%BC%8Fb", b"%E2%80%A4%E2%80%A4/x"),
    "not UTF-8": (b"%ff", b"%c0%ae%c0%ae/secret", b"%ed%a0%80", b"a%80"),
    "too long": (b"x" * 256, b"%C3%A9" * 128, b"/".join([b"abcdefghi"] * 91)),
}  # fmt: skip
"""By kind. None of them may name an artifact."""

HARMLESS = (
    b"a", b"a/b.txt", b"a%20b", b"a%3fb", b"a?b", b"a;b", b"a%3Bb=c", b"~", b"~root", b"...", b"a..b",
    b"%C3%A9", b"%E6%97%A5", b"100%25", b"a%2fb", b"a%2Fb%2Fc", b"-rf", b"a+b", b"x" * 255, b".hidden",
    b"a%23b", b"a%2523b", b"x%23", b"data:x", b"12:30.log", b"a/bb:c", b"a%2541", b"50%25%20off", b"a%25zz", b"%25ff",
)  # fmt: skip
"""What looks odd, and is a name."""
