#!/usr/bin/env bash
# Repaint the photos of this folder, about a minute each. The results go to ./painted; those that are there stay.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# The installed command, or the one that `python3.11 -m venv .venv && .venv/bin/pip install .` makes.
PATH=$PATH:$here/../.venv/bin

imgtool stylize "$here/astronaut.jpg" "$here/rocket.jpg" --style "$here/night.jpg" \
    --time 60s --skip-existing -o painted/
imgtool stylize "$here/coffee.jpg" --style "$here/window.jpg" --time 60s --skip-existing -o painted/
imgtool stylize "$here/chelsea.jpg" --style "$here/waves.jpg" --content-weight 4 \
    --time 60s --skip-existing -o painted/
