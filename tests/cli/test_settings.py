from pathlib import Path

import pytest


def write_user_file(tmp_path, text):
    path = tmp_path / "user" / "config" / "imgtool.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.fixture
def size_refused(imgtool, pictures):
    """The size that `stylize` gets, told by its refusal of negative ones."""

    def refused(*arguments):
        result = imgtool("stylize", "photo.png", "painting.png", *arguments)
        assert result.code == 2
        return int(result.error.partition("got ")[2].partition(" ")[0])

    return refused


def test_order(size_refused, tmp_path, monkeypatch):
    write_user_file(tmp_path, "[stylize]\nsize = -1\n")
    assert size_refused() == -1
    Path("imgtool.toml").write_text("[stylize]\nsize = -2\n")
    assert size_refused() == -2
    monkeypatch.setenv("IMGTOOL_STYLIZE_SIZE", "-3")
    assert size_refused() == -3
    assert size_refused("--size", "-4") == -4


def test_files_are_merged_by_option(imgtool, pictures, tmp_path):
    write_user_file(tmp_path, "[stylize]\nsize = -1\n")
    Path("imgtool.toml").write_text("[stylize]\nscales = 2\n")
    assert "got -1 (from " in imgtool("stylize", "photo.png", "painting.png").error


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("style-weight = -1", "--style-weight: must be at least 0, got -1"),
        ("style_weight = -1", "--style-weight: must be at least 0, got -1"),
        ("steps = [1, -2]", "--steps: must be at least 0, got -2"),
        ("format = 'xyz'", "'--format': 'xyz' is not one of"),
        ("style = 'gone.png'", "style gone.png does not exist"),
        ("style = ['photo.png', 'gone.png:0.5']", "style gone.png does not exist"),
        ("style-layers = { conv1_1 = -1 }", "weight of conv1_1 must be above 0, got -1"),
        ("quiet = true\nsize = 0", "--size: must be at least 1, got 0"),
    ],
)
def test_values_as_typed(imgtool, pictures, line, error):
    Path("imgtool.toml").write_text(f"[stylize]\n{line}\n")
    result = imgtool("stylize", "photo.png", "painting.png", "-o", "out/")
    assert result.code == 2
    assert error in result.error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[stylise]\nsize = 1", "[stylise] is no command. Did you mean 'stylize'?"),
        ("[stylize]\nsise = 1", "[stylize] has no option 'sise'. Did you mean 'size'?"),
        ("[stylize]\npictures = 'a'", "has no option 'pictures'"),
        ("size = 1", "[size] is no command"),
        ("[stylize]\nsize = true", "size of [stylize] is True"),
        ("[stylize]\nsteps = 1979-05-27", "which is not what could be typed"),
        ("[stylize]\nsize = ", "cannot be read"),
        ("\xff", "cannot be read"),
        ("[score]\nthresholds = 9", "[score.thresholds] is no command."),
        ("[score.edge]\nthresholds = 9", "[score.edge] is no command. Did you mean 'edges'?"),
        (
            "[score.edges]\nthreshold = 9",
            "[score.edges] has no option 'threshold'. Did you mean 'thresholds'?",
        ),
        ("[score]\nedges = 9", "[score.edges] is no command."),
    ],
)
def test_damaged_files(imgtool, text, error):
    Path("imgtool.toml").write_bytes(text.encode("latin-1"))
    result = imgtool("stylize", "a.png", "b.png")
    assert result.code == 2
    assert error in result.error
    assert "imgtool.toml" in result.error


def test_sub_commands_take_settings(imgtool, folder, tmp_path, monkeypatch):
    def refused(*arguments):
        result = imgtool("score", "edges", ".", ".", *arguments)
        assert result.code == 2
        return result.error

    write_user_file(tmp_path, "[score.edges]\nthresholds = -1\nworkers = 3000\n")
    assert "'--thresholds': -1 is not in the range" in refused()
    assert "'--workers': 3000 is not in the range" in refused("--thresholds", "9")
    Path("imgtool.toml").write_text("[score.edges]\nthresholds = -2\n")
    assert "-2 is not in the range" in refused()
    assert "'--workers': 3000 is not in the range" in refused(
        "--thresholds", "9"
    )  # files are merged here too
    monkeypatch.setenv("IMGTOOL_SCORE_EDGES_THRESHOLDS", "-3")
    assert "-3 is not in the range" in refused()
    assert "(from IMGTOOL_SCORE_EDGES_THRESHOLDS)" in refused()


def test_doctor_shows_settings_of_sub_commands(imgtool, folder, monkeypatch):
    Path("imgtool.toml").write_text("[score.edges]\nthresholds = 9\n")
    monkeypatch.setenv("IMGTOOL_SCORE_EDGES_WORKERS", "1")
    monkeypatch.setenv("IMGTOOL_SCORE_EDGES_WORKER", "1")
    told = imgtool("doctor").stdout.decode()
    assert "score edges --thresholds 9 from imgtool.toml" in told
    assert "score edges --workers 1 from IMGTOOL_SCORE_EDGES_WORKERS" in told
    assert "IMGTOOL_SCORE_EDGES_WORKER is no setting. Did you mean 'IMGTOOL_SCORE_EDGES_WORKERS'?" in told


def test_faults_are_told_with_their_origin(imgtool, pictures, monkeypatch):
    Path("imgtool.toml").write_text("[stylize]\nsteps = 'many'\n")
    assert "(from imgtool.toml)" in imgtool("stylize", "photo.png", "painting.png").error
    monkeypatch.setenv("IMGTOOL_STYLIZE_STEPS", "few")
    assert "'few' is no whole number" in imgtool("stylize", "photo.png", "painting.png").error
    assert "(from IMGTOOL_STYLIZE_STEPS)" in imgtool("stylize", "photo.png", "painting.png").error


def test_names_are_those_of_the_options(imgtool, pictures, monkeypatch):
    monkeypatch.setenv("IMGTOOL_STYLIZE_FORMAT", "xyz")
    assert "(from IMGTOOL_STYLIZE_FORMAT)" in imgtool("stylize", "photo.png", "painting.png").error
