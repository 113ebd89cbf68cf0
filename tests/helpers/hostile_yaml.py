"""YAML that is made to exhaust memory or the stack, or that YAML's own constructors stumble over."""

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10))
HOSTILE = {  # name: (a text, what is said of it)
    "aliases": (LAUGHS, "it has the alias"),
    "merged aliases": (MERGES, "it has the alias"),
    "itself": ("a: &a [*a]", r"it has the alias '\*a'"),
    "depth": ("[" * 100_000, "not usable YAML"),
    "digits": ("seed: " + "9" * 5000, "not usable YAML"),
    "date": ("out: 2026-13-40", "month must be in"),
    "tagged integer": ("out: !!int x", "invalid literal"),
    "tagged boolean": ("out: !!bool x", "'x'"),
    "tagged date": ("out: !!timestamp x", "not usable YAML"),
    "object": ("out: !!python/object/apply:os.system [true]", "could not determine a constructor"),
    "two documents": ("a: 1\n---\na: 2", "expected a single document"),
    "control characters": ("a: \x00", "special characters are not allowed"),
}
