"""What is odd about samples that are used all the same."""

import warnings

import pytest

from ganforge import Note, Stored, compare, gather_notes, note_lines, noting, oddities


def test_warnings_become_notes_with_a_name_each_once_and_are_not_printed(capsys):
    with noting("a.png") as notes:
        warnings.warn("Truncated\n  File Read", UserWarning, stacklevel=1)
        warnings.warn("Truncated File Read", UserWarning, stacklevel=1)
        warnings.warn("overflow", RuntimeWarning, stacklevel=1)
        compare("numbers from 0 to 1")
    assert notes == [
        Note("Truncated File Read", ("a.png",)),
        Note("overflow", ("a.png",)),
        Note("numbers from 0 to 1", ("a.png",), unlike=True),
    ]
    assert capsys.readouterr().err == ""


def test_nothing_is_noted_of_what_fails_and_nothing_is_compared_outside():
    notes = []

    def fail():
        nonlocal notes
        with noting("a.png") as notes:
            warnings.warn("odd", UserWarning, stacklevel=1)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    compare("numbers from 0 to 1")
    assert notes == []


def test_what_says_the_same_but_for_numbers_is_one_line_with_a_few_names():
    notes = [Note(f"only {number} levels", (f"{number}.tif",)) for number in range(12)]
    assert note_lines(notes) == ["'0.tif': only 0 levels (likewise '1.tif', '2.tif' and 9 more)"]
    assert gather_notes([*gather_notes(notes[:5]), *gather_notes(notes[5:])]) == gather_notes(notes)
    assert note_lines([Note("odd", ("a",)), Note("strange", ("b",)), Note("odd", ("c",))]) == [
        "'a': odd (likewise 'c')",
        "'b': strange",
    ]


def test_what_is_compared_is_told_only_where_samples_differ_also_between_train_and_test():
    def stored(name, text):
        return Stored(1, lambda indices: None, notes=[Note(text, (name,), unlike=True)])

    alike = {"A": stored("a", "0 to 1"), "B": stored("b", "0 to 255")}
    assert oddities({"train": alike, "test": {"A": stored("c", "0 to 1")}}) == []
    assert oddities({"train": alike, "test": {"A": stored("c", "0 to 255")}}) == [
        "files are read differently: 'a': 0 to 1, 'c': 0 to 255"
    ]
