"""Parsers under hostile input: by Hypothesis in the suite, by a coverage-guided fuzzer outside of it."""
