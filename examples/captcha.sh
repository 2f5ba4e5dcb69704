#!/usr/bin/env bash
# Draw 60 captchas of each level, with every glyph's place and a sheet to look at, into ./captchas.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# The installed command, or the one that `python3.11 -m venv .venv && .venv/bin/pip install .` makes.
PATH=$PATH:$here/../.venv/bin

for level in easy medium hard; do
    imgtool captcha-gen -n 60 -o "captchas/$level" --level "$level" --truth --sheet
done
