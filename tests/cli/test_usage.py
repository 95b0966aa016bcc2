"""Mistakes of a command line in plain words."""

from __future__ import annotations

from mmtk.cli.usage import plain


def test_words_of_every_library_become_ours() -> None:
    for message, words in {
        "Input should be a valid integer, unable to parse string as an integer": "should be a whole number",
        "'abc' is not a valid integer.": "should be a whole number",
        "'abc' is not a valid integer range.": "should be a whole number",
        "Input should be a valid number, unable to parse string as a number": "should be a number",
        "Input should be greater than or equal to 0": "should be 0 or more",
        "-1 is not in the range x>=0.": "should be 0 or more",
        "Value error, 'onxx' is not one of 'onnx', 'safetensors'.": "should be one of 'onnx', 'safetensors'",
        "'onxx' is not one of 'onnx', 'safetensors'.": "should be one of 'onnx', 'safetensors'",
        "Input should be a valid boolean": "should be a valid boolean",
        "Got unexpected extra argument (x)": "nothing is expected behind the others: x",
        "Got unexpected extra argument(s) (x y)": "nothing is expected behind the others: x y",
        "Missing command.": "which command?",
        "No such command 'chekc'. Did you mean 'check'?": "No such command 'chekc'. Did you mean 'check'?",
    }.items():
        assert plain(message) == words
