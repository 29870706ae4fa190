# Sourced by aarch64.sh, x86_64.sh and avx512.sh: a Python for another CPU, the project built for it.
#
# make_root ARCH      Debian's Python plus wheels from PyPI for that architecture, in $cache/root-ARCH
# build_project ARCH  this checkout, compiled for that root, in $cache/project-ARCH-CHECKOUT
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bge-micro-emulation
checkout=$(cksum <<<"$repository" | cut -d" " -f1) # each has its own build
host_python=${PYTHON:-python3} # only its pip is used
mkdir -p "$cache"

wheels=(numpy tokenizers safetensors onnx tqdm pytest hypothesis pybind11)
default_command=(tests/golden/make_digests.py --check --compute-type int8 --rows 0::10)

# need COMMAND=PACKAGE...: installs the Debian packages whose commands are missing, or names them.
need() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  ((${#missing[@]})) || return 0
  if [[ $(id -u) != 0 ]]; then
    echo "missing Debian packages: ${missing[*]}; run: apt-get install ${missing[*]}" >&2
    exit 2
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >&2
}

# once DIRECTORY FUNCTION ARGUMENT...: runs the function in a new directory and keeps that only if
# it succeeds. What was run is kept with it, so that an edited recipe runs again.
once() {
  local directory=$1 recipe
  shift
  recipe=$(declare -f private_apt install_wheels "$1"; echo "$@" "${wheels[@]}")
  if [[ $(cat "$directory/.recipe" 2>/dev/null) != "$recipe" ]]; then
    echo "preparing $directory" >&2
    rm -rf "$directory"
    mkdir -p "$directory"
    (cd "$directory" && "$@") >"$directory.log" 2>&1 || {
      tail -n 20 "$directory.log" >&2
      echo "failed: see $directory.log" >&2
      exit 2
    }
    echo "$recipe" >"$directory/.recipe"
  fi
}

# A separate apt in the current directory, so that the host's packages and lists do not change.
private_apt() {
  local arch=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  local mirror=http://deb.debian.org
  mkdir -p apt/lists/partial apt/archives/partial apt/etc/apt.conf.d apt/etc/preferences.d
  touch apt/status
  cat >apt/sources.list <<SOURCES
deb [signed-by=$keyring] $mirror/debian bookworm main
deb [signed-by=$keyring] $mirror/debian-security bookworm-security main
deb-src [signed-by=$keyring] $mirror/debian trixie main
SOURCES
  cat >apt/apt.conf <<CONFIG
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Dir::Etc "$PWD/apt/etc";
Dir::Etc::sourcelist "$PWD/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$PWD/apt";
Dir::State::status "$PWD/apt/status";
Dir::Cache "$PWD/apt";
CONFIG
  export APT_CONFIG=$PWD/apt/apt.conf
  apt-get update -qq
}

# install_wheels ARCH DIRECTORY REQUIREMENT...
install_wheels() {
  local machine directory=$2 minor platforms=()
  machine=$(machine_of "$1")
  shift 2
  for minor in {17..36}; do # the glibc versions that bookworm's 2.36 can serve
    platforms+=(--platform "manylinux_2_${minor}_$machine")
  done
  "$host_python" -m pip install -q --no-compile --target "$directory" \
    --only-binary=:all: --implementation cp --python-version 3.11 \
    --platform "manylinux2014_$machine" "${platforms[@]}" "$@"
}

unpack_root() {
  local arch=$1 machine=$2 deb
  private_apt "$arch"
  apt-get install -qq -y --download-only python3.11 libpython3.11-dev libstdc++6 libgomp1
  for deb in apt/archives/*.deb; do
    dpkg -x "$deb" .
  done
  rm -r apt
  mkdir -p proc sys dev tmp project
  install_wheels "$arch" usr/local/lib/python3.11/dist-packages "${wheels[@]}"
  # The name under which the host starts it; -0 makes it sys.executable too, so that tests which
  # start another Python get an emulated one.
  cat >usr/bin/python <<WRAPPER
#!/bin/sh
exec qemu-$machine-static -0 "\$0" -L $PWD $PWD/usr/bin/python3.11 "\$@"
WRAPPER
  chmod +x usr/bin/python
}

machine_of() { case $1 in amd64) echo x86_64 ;; arm64) echo aarch64 ;; esac }

# Runs of the same architecture wait for each other, because they share the folders of the cache.
make_root() {
  exec 9>"$cache/lock-$1"
  flock 9
  need "qemu-$(machine_of "$1")-static=qemu-user-static"
  once "$cache/root-$1" unpack_root "$1" "$(machine_of "$1")"
}

# The same CMake project as a normal build; the root's own Python, emulated, tells where things are.
build_project() {
  local arch=$1 root=$cache/root-$1 version toolchain=()
  local build=$cache/build-$1-$checkout project=$cache/project-$1-$checkout
  need cmake=cmake make=make g++=g++
  if [[ $arch == arm64 ]]; then
    need aarch64-linux-gnu-g++=g++-aarch64-linux-gnu
    toolchain=(-DCMAKE_TOOLCHAIN_FILE="$here/aarch64-toolchain.cmake")
  fi
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/pyproject.toml")
  {
    cmake -S "$repository" -B "$build" "${toolchain[@]}" -DCMAKE_BUILD_TYPE=Release \
      -DSKBUILD_PROJECT_NAME=bge-micro -DSKBUILD_PROJECT_VERSION="$version" \
      -DPython_EXECUTABLE="$root/usr/bin/python" \
      -DPython_INCLUDE_DIR="$root/usr/include/python3.11" \
      -Dpybind11_DIR="$root/usr/local/lib/python3.11/dist-packages/pybind11/share/cmake/pybind11" \
      -DCMAKE_CXX_FLAGS="-idirafter $root/usr/include"
    cmake --build "$build" --parallel "$(nproc)"
    rm -rf "$project"
    cmake --install "$build" --prefix "$project" --strip
  } >"$build.log" 2>&1 || {
    tail -n 30 "$build.log" >&2
    exit 2
  }
  cp -r "$repository/python/bge_micro" "$project/"
  mkdir "$project/bge_micro-$version.dist-info"
  printf 'Metadata-Version: 2.1\nName: bge-micro\nVersion: %s\n' "$version" \
    >"$project/bge_micro-$version.dist-info/METADATA"
}

# split_arguments ARGUMENT...: fills cpus with the arguments before "--" and command with the rest.
split_arguments() {
  cpus=()
  while (($#)) && [[ $1 != -- ]]; do
    cpus+=("$1")
    shift
  done
  shift || true
  command=("$@")
  ((${#command[@]})) || command=("${default_command[@]}")
}

# run_on_cpus ARCH CPU...: runs $command on each in turn; fails if one of them failed. What Python
# compiles is kept in the cache: nothing is written to the repository, and only what is needed.
run_on_cpus() {
  local root=$cache/root-$1 project=$cache/project-$1-$checkout compiled=$cache/pycache-$1
  local cpu started failed=0
  shift
  cd "$repository"
  for cpu in "$@"; do
    echo "== ${cpu%%,*}: python ${command[*]}"
    started=$SECONDS
    QEMU_CPU=$cpu PYTHONPATH=$project PYTHONPYCACHEPREFIX=$compiled \
      PYTEST_ADDOPTS="-p no:cacheprovider" "$root/usr/bin/python" "${command[@]}" || failed=1
    echo "== ${cpu%%,*}: $((SECONDS - started)) s"
  done
  return "$failed"
}
