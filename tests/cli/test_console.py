import errno
import json
import os

import pytest

from imgtool.cli.console import console, to_json, use_color


@pytest.mark.parametrize("value", [{"a": "ü☃"}, "a\udcff", "\x1b[31m\x9b\x7f\n", {"path": os.sep}])
def test_json_can_be_shown_and_read_back(value):
    text = to_json(value)
    assert text.isprintable()
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, None), ({"NO_COLOR": "1"}, False), ({"FORCE_COLOR": "1"}, True), ({"TERM": "dumb"}, False)],
)
def test_colour(environment, expected, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert use_color() is expected


def test_our_own_words_respect_it(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    console.error("bad")
    assert capsys.readouterr().err == "\x1b[31merror:\x1b[0m bad\n"
    monkeypatch.setenv("NO_COLOR", "1")
    console.warn("hm")
    assert capsys.readouterr().err == "note: hm\n"


def test_quiet_and_verbose(capsys):
    console.quiet = True
    console.say("said")
    console.warn("noted")
    console.error("failed", hint="this")
    assert capsys.readouterr().err == "error: failed. Try: this\n"
    console.quiet = False
    console.detail("detail")
    assert capsys.readouterr().err == ""
    console.verbosity = 1
    console.detail("detail")
    assert capsys.readouterr().err == "detail\n"


def test_a_full_log_stops_no_work(monkeypatch):
    def full(code):
        def echo(*words, **more):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr("click.echo", echo)

    full(errno.ENOSPC)
    console.say("said")
    console.error("failed")
    with pytest.raises(OSError, match="No space"):
        console.data("line")
    full(errno.EPIPE)  # nobody listens any more: the work ends
    with pytest.raises(BrokenPipeError):
        console.say("said")


def test_tracebacks_only_with_vv(capsys):
    for verbosity in (0, 1, 2):
        console.verbosity = verbosity
        try:
            raise ValueError("hm")
        except ValueError:
            console.error("failed")
        told = capsys.readouterr().err
        assert told.endswith("error: failed\n")
        assert ("Traceback" in told) == (verbosity == 2)


def test_no_bar_without_a_terminal(capsys):
    with console.progress("Work") as on_progress:
        on_progress(1, 2, "note")
    assert capsys.readouterr().err == ""


def test_plain_progress(capsys, monkeypatch):
    monkeypatch.setattr("imgtool.cli.console.PLAIN_PROGRESS_SECONDS", 0)
    console.verbosity = 1
    with console.progress("Work") as on_progress:
        on_progress(1, 2, "note")
    assert capsys.readouterr().err == "Work 50% note\n"


def test_progress_as_json(capsys, monkeypatch):
    console.json_progress = True
    with console.progress("photo") as on_progress:
        on_progress(0, 2, "")
        on_progress(1, 2, "soon")  # too soon after the first
        on_progress(2, 2, "")  # the last is always told
    told = [json.loads(line)["progress"] for line in capsys.readouterr().err.splitlines()]
    assert told == [{"title": "photo", "done": done, "total": 2, "note": ""} for done in (0, 2)]


def test_quiet_is_stronger_than_progress(capsys):
    console.json_progress = console.quiet = True
    with console.progress("photo") as on_progress:
        on_progress(0, 2, "")
    assert capsys.readouterr().err == ""
