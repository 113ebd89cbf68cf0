"""YAML that is made to exhaust memory or the stack, or that YAML's own constructors stumble over."""

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10))
HOSTILE = {  # name: a text
    "aliases": LAUGHS,
    "merged aliases": MERGES,
    "itself": "a: &a [*a]",
    "depth": "[" * 100_000,
    "digits": "seed: " + "9" * 5000,
    "date": "out: 2026-13-40",
    "tagged integer": "out: !!int x",
    "tagged boolean": "out: !!bool x",
    "tagged date": "out: !!timestamp x",
    "object": "out: !!python/object/apply:os.system [true]",
    "two documents": "a: 1\n---\na: 2",
    "control characters": "a: \x00",
}
