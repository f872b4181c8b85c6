#!/bin/bash -eu
# Builds the fuzz targets in Python for ClusterFuzzLite: a program and a seed corpus for each.
# Everything but atheris, which is part of the image, comes from requirements.lock.

pip() { python3 -m pip --disable-pip-version-check --quiet "$@"; }

# As in the Makefile: pip first, because an old one cannot check the hashes of constraints.
sed -n '/^pip==/,/[^\\]$/p' requirements.lock >/tmp/pip.txt
pip install --require-hashes --requirement /tmp/pip.txt
python3 -c 'import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
print(*project["project"]["dependencies"], sep="\n")' >/tmp/dependencies.txt
# httptools is one of the parsers that ours are compared with.
pip install --require-hashes --constraint requirements.lock --requirement /tmp/dependencies.txt httptools

for file in $(grep -l '^    run("fuzz\.' fuzz/*.py); do
  target=$(basename "$file" .py)
  # A target loads itself again to be instrumented, so PyInstaller does not see what it imports.
  compile_python_fuzzer "$file" --paths . \
    --hidden-import "fuzz.$target" --collect-submodules quictunnel --hidden-import h11 --hidden-import httptools
  zip --quiet --junk-paths "$OUT/${target}_seed_corpus.zip" "fuzz/corpus/$target"/*
done
