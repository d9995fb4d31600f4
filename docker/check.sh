#!/usr/bin/env bash
# Builds the images and uses each as its own user: a frame is posted to the service, locust loads it, a tiny network is pruned.
# Needs buildah, curl and pkill, and no daemon.
#
#   docker/check.sh                             all images, on the base of the Dockerfiles
#   docker/check.sh load pruning                these (serving, load, pruning); load has the service built, too
#   docker/check.sh debian:12-slim serving      on another image
#   docker/check.sh path/to/rootfs              on a folder, such as debootstrap makes (with python3 and python3-venv in it)
#
# BUILD_OPTIONS: more options for `buildah build`, such as --build-arg EXTRAS=[cuda], or -v for certificates.
set -euo pipefail
cd "$(dirname "$0")/.."

port=18080
url=http://127.0.0.1:$port
base='' wanted=() containers=() service=''
for argument; do
    case $argument in
        serving | load | pruning) wanted+=("$argument") ;;
        *) base=$argument ;;
    esac
done
[ ${#wanted[@]} -gt 0 ] || wanted=(serving load pruning)

buildah() { command buildah --storage-driver vfs "$@"; }

tidy() {
    # To the init alone: buildah itself passes no signal on, and panics at one.
    if [ -n "$service" ]; then
        pkill -TERM --pgroup "$service" --exact dumb-init || true
        wait "$service" || true
    fi
    [ ${#containers[@]} -eq 0 ] || buildah rm "${containers[@]}" >/dev/null
}
trap tidy EXIT

# import_base FOLDER: as an image.
import_base() {
    local scratch
    scratch=$(buildah from scratch)
    buildah add --quiet "$scratch" "$1" / >/dev/null
    buildah commit --quiet --rm "$scratch" polyprune-base >/dev/null
}

# create IMAGE FILE: builds it, tells its size; its container's name is then in $container.
create() {
    buildah rmi --force "localhost/polyprune:check-$1" >/dev/null 2>&1 || true
    # shellcheck disable=SC2086  # BUILD_OPTIONS are several words
    # OCI's format has no health check.
    buildah build --format docker --isolation chroot --layers=false ${base:+--build-arg BASE="$base"} ${BUILD_OPTIONS:-} \
        --tag "polyprune:check-$1" --file "$2" .
    buildah images --format '{{.Tag}} {{.Size}}' "localhost/polyprune:check-$1"
    container=$(buildah from "localhost/polyprune:check-$1")
    containers+=("$container")
}

within() { buildah run --isolation chroot "$@"; }

start_service() {
    create serving docker/Dockerfile
    set -m # a process group of its own, by which its init is found
    within --env POLYPRUNE_HOST=127.0.0.1 --env POLYPRUNE_PORT=$port "$container" -- dumb-init -- python3 -m app &
    service=$!
    set +m
    curl --silent --show-error --fail --retry 60 --retry-delay 1 --retry-all-errors --output /dev/null $url/readyz
}

stop_service() {
    pkill -TERM --pgroup "$service" --exact dumb-init
    wait "$service"
    service=''
    echo "ok: the service was told to stop and exited with 0"
}

check_serving() {
    local report health
    mapfile -t health < <(buildah inspect --format '{{range .Docker.Config.Healthcheck.Test}}{{println .}}{{end}}' "$container")
    within --env POLYPRUNE_PORT=$port "$container" -- "${health[@]:1:3}"
    echo "ok: the health check of the image"
    report=$(curl --silent --show-error --fail-with-body -F file=@app/web/sample.jpg "$url/v1/segment?output=json")
    case $report in
        *'"frame":{"width":640,"height":512}'*'"box":'*) echo "ok: the sample frame has a lesion" ;;
        *) echo "unexpected answer: $report" >&2; exit 1 ;;
    esac
    within "$container" -- python3 -c '
import importlib.util, os
assert importlib.util.find_spec("torch") is None, "torch is in the image"
assert os.getuid() != 0, "it runs as root"
print("ok: user", os.getuid(), "and no torch")'
}

check_load() {
    create load docker/load.Dockerfile
    # shellcheck disable=SC2016  # the inner shell's
    within --volume "$PWD/tests:/load/tests:ro" --env LOCUST_HOST=$url "$container" -- sh -euc '
        reports=$(mktemp -d)
        python3 -m locust -f tests/load/locustfile.py --headless --only-summary --users 2 --run-time 10s \
            --csv "$reports/load" --html "$reports/load.html" Frontend
        test -s "$reports/load_stats.csv" && test -s "$reports/load.html"
        echo "ok: user $(id -u) has reports from locust"'
}

check_pruning() {
    create pruning docker/pruning.Dockerfile
    within "$container" -- dumb-init -- python3 -m pruning --help >/dev/null
    # shellcheck disable=SC2016  # the inner shell's
    within --volume "$PWD/tests:/tests:ro" "$container" -- sh -euc '
        PYTHONPATH=/ python3 -c "
from pathlib import Path
from tests.pruning.dataset import write_tiny
write_tiny(Path.cwd())"
        cp /tests/pruning/tiny.toml .
        dumb-init -- python3 -m pruning run tiny.toml
        test -s runs/tiny/export/pruned.onnx
        echo "ok: user $(id -u) has pruned a tiny network"'
}

if [ -d "$base" ]; then
    import_base "$base"
    base=localhost/polyprune-base
fi
case " ${wanted[*]} " in *' serving '* | *' load '*) start_service ;; esac
case " ${wanted[*]} " in *' serving '*) check_serving ;; esac
case " ${wanted[*]} " in *' load '*) check_load ;; esac
[ -z "$service" ] || stop_service
case " ${wanted[*]} " in *' pruning '*) check_pruning ;; esac
