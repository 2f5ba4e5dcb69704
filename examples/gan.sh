#!/usr/bin/env bash
# Draw 200 pictures of single letters, train a generator on them, and look whether it copies: all in ./generator.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# The installed command, or the one that `python3.11 -m venv .venv && .venv/bin/pip install .` makes.
PATH=$PATH:$here/../.venv/bin

imgtool captcha-gen -n 200 -o generator/letters --length 1 --size 32x32 --level easy --font-size 0.7-0.9 \
    --ink dark --background plain --lines 0 --dots 0 --noise 0
imgtool train-gan generator/letters -o generator/run --augment color,shift,cutout --time "${TIME:-5m}"
imgtool sample-gan generator/run -o generator/samples.png --force
imgtool sample-gan generator/run --nearest generator/letters -n 24 -o generator/nearest.png --force
