#!/usr/bin/env bash
# Find the nuclei of cells.png: mask, outlines, numbered objects and their sizes go to ./cells; what is there stays.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# The installed command, or the one that `python3.11 -m venv .venv && .venv/bin/pip install .` makes.
PATH=$PATH:$here/../.venv/bin

imgtool segment "$here/cells.png" -o cells/ --kind mask,contours,instances --sheet --skip-existing
