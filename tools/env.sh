#!/usr/bin/env bash
# Make a virtual environment hold what the requirement files ask for, and the package itself (editable).
#   tools/env.sh .venv requirements.txt            PYTHON=python3.12 tools/env.sh .venv requirements.txt requirements-dev.txt
#   tools/env.sh --without-package .venv-colab requirements-colab.txt     focal_utils itself is left out, as on Colab
# A stamp in the environment records what was installed; while nothing changed, this takes a moment. A failed install
# leaves no stamp, so the next run tries again. PYTHON says which Python makes the environment (default: the one it has, or python3).
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1
package=yes
[ "$1" != --without-package ] || {
    package=no
    shift
}
environment=$1
shift
inside=$environment/bin/python

"$inside" -m pip --version >/dev/null 2>&1 && works=yes || works=no
python=${PYTHON:-$([ $works = yes ] && echo "$inside" || echo python3)}
command -v "$python" >/dev/null || {
    echo "$python was not found. Install Python 3.11 or newer, or say which to use: make PYTHON=/path/to/python3" >&2
    exit 1
}
version=$("$python" -V 2>&1)
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; $python is $version. Say which to use: make PYTHON=python3.12" >&2
    exit 1
}
[ $works = yes ] && [ "$("$inside" -V)" = "$version" ] || works=no

stamp=$environment/.installed-$(echo "$*" | tr -c 'a-z\n' '-')
wanted=$(echo "$version in $PWD, package: $package" && cat "$@" pyproject.toml tools/env.sh)
if [ $works = yes ] && [ -f "$stamp" ] && [ "$wanted" = "$(cat "$stamp")" ]; then
    echo "$environment is up to date ($version)."
    exit 0
fi

if [ $works = yes ]; then
    echo "[1/3] $environment is there ($version): bringing it up to date."
else
    echo "[1/3] Creating the virtual environment $environment with $version ..."
    "$python" -m venv --clear "$environment" || {
        rm -rf "$environment"
        echo "The environment could not be created. On Debian and Ubuntu: sudo apt install python3-venv" >&2
        exit 1
    }
fi

rm -f "$stamp"
requirements=("${@/#/--requirement=}")
echo "[2/3] Installing $* (some minutes the first time, 2.5 GB where TensorFlow is among them; pip reports below) ..."
if [ -f "$environment/.filled" ]; then
    "$inside" -m pip install "${requirements[@]}" | awk '!/^Requirement already satisfied/ { print; fflush() }'
else
    "$inside" -m pip install "${requirements[@]}"
fi
if [ $package = yes ]; then
    echo "[3/3] Installing focal_utils from this folder ..."
    "$inside" -m pip install --quiet --no-deps --editable .
else
    echo "[3/3] focal_utils is not installed: notebooks find it beside them."
    "$inside" -m pip uninstall --quiet --yes focal_utils
fi
touch "$environment/.filled"
printf '%s\n' "$wanted" > "$stamp.part"
mv "$stamp.part" "$stamp"
echo "$environment is ready."
