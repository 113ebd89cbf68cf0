"""What tests of learning share: small photos, and a folder of their features."""

from run_fixtures import photos, sizes, store  # noqa: F401
