import click
import pytest

from imgtool.cli import params
from imgtool.cli.main import cli
from imgtool.cli.serve_forms import field_of, forms
from imgtool.web.forms import FormError

FORMS = {form.command: form for form in forms(cli.commands, ("--device=cpu",))}


def words(command, **answers):
    answers = {name.replace("_", "-"): answer for name, answer in answers.items()}
    return FORMS[command].words(answers, lambda upload: f"{upload}.png")


def test_commands_that_work_on_pictures():
    assert {"stylize", "edges", "segment", "captcha-read"} <= set(FORMS)
    assert not {"inspect", "rerun", "train-edges", "captcha-gen", "serve"} & set(FORMS)
    assert not FORMS["captcha-read"].writes


@pytest.mark.parametrize("name", list(FORMS))
def test_every_option_is_a_field_or_hidden_for_a_reason(name):
    command = cli.commands[name]
    fields = {field.name for field in FORMS[name].fields}
    for param in command.params:
        if isinstance(param, click.Option) and param.opts[-1][2:] not in fields:
            hidden = {
                "device",
                "precision",
                "threads",
                "max_pixels",
                "ray",
                "sidecar",
                "save_every",
                "preview",
                "save_masks",
                "video",
                "weights",
                "mask_weights",
            }
            assert param.name in hidden | {*params.OUTPUT, *params.TALK}


@pytest.mark.parametrize("name", list(FORMS))
def test_no_field_names_a_path(name):
    command = cli.commands[name]
    options = {param.opts[-1][2:]: param for param in command.params}
    files = getattr(command, "files", {})
    for field in FORMS[name].fields:
        option = options[field.name]
        if isinstance(option.type, click.Path) or option.name in files:
            assert field.kind == "picture" or (
                field.kind == "choice" and field.choices == tuple(files[option.name])
            )


def test_a_path_that_is_no_declared_file_is_no_field():
    option = click.Option(["--place"], type=click.Path())
    assert field_of(click.Command("x", params=[option]), option) is None


def test_kinds_of_fields():
    kinds = {field.name: field for field in FORMS["segment"].fields}
    assert kinds["kind"].kind == "several" and "overlay" in kinds["kind"].choices
    assert kinds["kind"].default == "mask"
    assert (kinds["threshold"].kind, kinds["threshold"].step) == ("number", "any")
    assert (kinds["min-area"].kind, kinds["min-area"].step) == ("number", "1")
    assert kinds["tta"].kind == "flag"
    style = FORMS["stylize"].fields[0]
    assert (style.name, style.kind, style.many) == ("style", "picture", True)
    assert {field.name: field.choices for field in FORMS["stylize"].fields}["init"] == (
        "content",
        "noise",
        "style",
    )


def test_words():
    assert words("edges", thin=True, overlay=False, kind="fuse", scales="1,2") == [
        *("--thin", "--kind=fuse", "--scales=1,2"),
    ]
    assert words("segment", kind=["mask", "overlay"]) == ["--kind=mask,overlay"]
    assert words("stylize", style=["a", "b"]) == ["--style=a.png", "--style=b.png"]
    assert words("stylize", style=["a:0.7", "b"]) == ["--style=a.png:0.7", "--style=b.png"]
    assert words("edges", scales="--force") == ["--scales=--force"]  # a value, whatever it looks like


@pytest.mark.parametrize(
    "answers", [{"style": "a:x"}, {"style": "a:-1"}, {"style": "a:/b"}, {"content_mask": "a:1"}]
)
def test_weights_are_numbers_of_those_that_have_one(answers):
    with pytest.raises(FormError):
        words("stylize", **answers)


@pytest.mark.parametrize(
    "answers",
    [
        {"output": "/etc/passwd"},
        {"weights": "/etc/passwd"},
        {"config": "x"},
        {"thin": "yes"},
        {"kind": "/etc/passwd"},
        {"kind": ["fuse", "side1"]},
        {"scales": "1\n2"},
        {"scales": "1\0"},
        {"scales": "1" * 1000},
        {"scales": 3},
        {"scales": ["1", "2"]},
        {"threads": "99"},
    ],
)
def test_refuses_what_was_not_asked(answers):
    with pytest.raises(FormError):
        words("edges", **answers)
