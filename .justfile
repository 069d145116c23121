# Shortcuts; `tests/run` is the whole truth.

# Everything that a change must pass
test *STEPS:
    tests/run {{ STEPS }}

# The fast half: format and lints
check:
    tests/run format clippy

# The demo on embedded SQLite
demo:
    cargo run -- demo

# A private MySQL server; prints its URL
mysql:
    tests/tools/mysql up

# One test by name, on both databases
one NAME:
    CWPP_TEST_MYSQL_URL=$(tests/tools/mysql up) cargo test --workspace {{ NAME }}

# Lint and render the chart with every example
chart:
    tests/run chart
