#!/usr/bin/env bash
# Builds the image, runs it as its own user, posts a frame and checks the answer. Needs buildah and curl, and no daemon.
#
#   docker/check.sh                     on the base of the Dockerfile
#   docker/check.sh debian:12-slim      on another image
#   docker/check.sh path/to/rootfs      on a folder, such as debootstrap makes (with python3 and python3-venv in it)
#
# BUILD_OPTIONS: more options for `buildah build`, such as --build-arg EXTRAS=[cuda], or -v for certificates.
set -euo pipefail
cd "$(dirname "$0")/.."

buildah() { command buildah --storage-driver vfs "$@"; }
base=${1:-}
port=18080
url=http://127.0.0.1:$port

if [ -d "$base" ]; then
    scratch=$(buildah from scratch)
    buildah add --quiet "$scratch" "$base" / >/dev/null
    buildah commit --quiet --rm "$scratch" polyprune-base >/dev/null
    base=localhost/polyprune-base
fi
# shellcheck disable=SC2086  # BUILD_OPTIONS are several words
buildah build --isolation chroot --layers=false ${base:+--build-arg BASE="$base"} ${BUILD_OPTIONS:-} \
    --tag polyprune:check --file docker/Dockerfile .
buildah images --format '{{.Name}} {{.Size}}' localhost/polyprune:check

container=$(buildah from localhost/polyprune:check)
set -m  # a process group of its own, since buildah hands no signal on
buildah run --isolation chroot --env POLYPRUNE_HOST=127.0.0.1 --env POLYPRUNE_PORT=$port "$container" -- dumb-init -- python3 -m app &
service=$!
set +m
trap 'kill -- "-$service" || true; wait "$service" || true; buildah rm "$container" >/dev/null' EXIT

curl --silent --show-error --fail --retry 60 --retry-delay 1 --retry-all-errors --output /dev/null $url/readyz
report=$(curl --silent --show-error --fail-with-body -F file=@app/web/sample.jpg "$url/v1/segment?output=json")
case $report in
    *'"frame":{"width":640,"height":512}'*'"box":'*) echo "ok: the sample frame has a lesion" ;;
    *) echo "unexpected answer: $report" >&2; exit 1 ;;
esac
buildah run --isolation chroot "$container" -- python3 -c '
import importlib.util, os
assert importlib.util.find_spec("torch") is None, "torch is in the image"
assert os.getuid() != 0, "it runs as root"
print("ok: user", os.getuid(), "and no torch")'
