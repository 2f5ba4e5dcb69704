#!/usr/bin/env bash
# Find the edges of the photos of this folder. Maps, overlays and drawings go to ./edges; those that are there stay.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# The installed command, or the one that `python3.11 -m venv .venv && .venv/bin/pip install .` makes.
PATH=$PATH:$here/../.venv/bin

imgtool edges "$here/astronaut.jpg" "$here/coffee.jpg" "$here/chelsea.jpg" "$here/rocket.jpg" \
    -o edges/ --overlay --svg --skip-existing
