"""What can go wrong for a user, and the exit code each kind of failure ends with.

ImgtoolError              1  anything a user can mend
|- BadImage               1  a file that cannot be decoded as a picture
|- OutputError            1  a result that cannot be written
|- RecipeError            1  a recipe that is missing or cannot be run again
|- DataError              1  training or test data that cannot be used
|- Diverged               1  an optimisation whose numbers stopped being finite
|- OptionError            2  an option whose value makes no sense
|- WeightsError           3  weights that cannot be had, or are not what they claim to be
`- DeviceError            4  a device that is not there, or memory that does not suffice

A message says what was found and what was expected; the hint is the next thing to type.
"""


class ImgtoolError(Exception):
    """A failure with one line to say and, where there is one, a cure."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadImage(ImgtoolError):
    """A file that cannot be decoded as a picture, whatever the decoder raised."""

    def __init__(self, name: object, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{name}: {reason}", hint=hint)
        self.name = str(name)
        self.reason = reason


class OutputError(ImgtoolError):
    """A result that cannot be written: full disk, missing permission, unknown format."""


class RecipeError(ImgtoolError):
    """A recipe that is missing, damaged, or whose inputs have changed."""


class DataError(ImgtoolError):
    """A file or folder of training or test data that cannot be used as it is."""


class Diverged(ImgtoolError):
    """An optimisation whose loss or picture stopped being finite."""


class OptionError(ImgtoolError):
    """An option value outside its range; `option` is the field's name in the options class."""

    exit_code = 2

    def __init__(self, option: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"--{option.replace('_', '-')}: {reason}", hint=hint)
        self.option = option


class WeightsError(ImgtoolError):
    """Weights that cannot be fetched, fail their SHA-256, or do not fit their network."""

    exit_code = 3


class DeviceError(ImgtoolError):
    """A device that is not there, cannot do what was asked, or has too little memory."""

    exit_code = 4
