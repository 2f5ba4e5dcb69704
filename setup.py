"""Maps the top-level `weights/` folder into the package; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["imgtool", "imgtool.*"]), "imgtool.trained"],
    package_dir={"imgtool.trained": "weights"},
    package_data={
        "imgtool": ["py.typed"],
        "imgtool.runtime": ["*.toml", "layouts/*.json"],
        "imgtool.web": ["page/*"],
        "imgtool.trained": ["*.safetensors", "README.md"],
    },
)
