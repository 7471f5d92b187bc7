#!/usr/bin/env bash
# image-test.sh [IMAGE]: runs an image as a cluster would (no root, read-only root file system, no network), stops it and resumes it.
# DOCKER=podman for another engine. An image without libtorch is tried with the mock engine.
set -euo pipefail
image=${1:-transfergrid}
docker=${DOCKER:-docker}
work=$(mktemp -d)
name=transfergrid-image-test-$$
trap '"$docker" rm -f "$name" > /dev/null 2>&1 || true; rm -rf "$work"' EXIT
mkdir "$work/data" "$work/logs"
user=${IMAGE_TEST_USER:-12345:12345} # nobody that the image knows
chown -R "$user" "$work" 2> /dev/null || user=$(id -u):$(id -g)
options=(--network none --read-only --user "$user" --volume "$work/data:/app/data:ro" --volume "$work/logs:/app/logs")
say() { printf 'image-test: %s\n' "$*"; }
fail() { printf 'image-test: FAILED: %s\n' "$*" >&2; exit 1; }
run() { "$docker" run --rm "${options[@]}" "$image" "$@"; }

# Into variables, not through pipes: a reader that stops early would end the writer.
help=$("$docker" run --rm --network none "$image")
[[ $help == *Usage:*transfergrid* ]] || fail "docker run IMAGE does not print the help"
[[ $("$docker" inspect --format '{{.Config.User}}' "$image") == 1000 ]] || fail "the image's user is root"
[[ $("$docker" inspect --format '{{json .Config.Entrypoint}}' "$image") == '["transfergrid"]' ]] || fail "the entry point is not the program itself"
for label in title licenses version revision; do
    [[ -n $("$docker" inspect --format "{{index .Config.Labels \"org.opencontainers.image.$label\"}}" "$image") ]] || fail "no label $label"
done
doctor=$(run doctor)
printf '%s\n' "$doctor"
engine=(--device cpu) slowly=()
if [[ $doctor == *"not built in"* ]]; then engine=(--engine mock) slowly=(--mock-ms 40); fi

say "a sweep of the digits, stopped in the middle"
study=(sweep experiments/demo.yaml --seeds 2 "${engine[@]}")
"$docker" run --name "$name" "${options[@]}" "$image" "${study[@]}" "${slowly[@]}" > "$work/first" 2>&1 &
for _ in $(seq 1 300); do [[ -s $work/logs/demo/records/main.jsonl ]] && break; sleep 0.1; done
[[ -s $work/logs/demo/records/main.jsonl ]] || { cat "$work/first"; fail "no results after 30 s"; }
started=$(date +%s.%N)
"$docker" stop --time 10 "$name" > /dev/null
seconds=$(awk -v a="$started" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }')
code=$("$docker" inspect --format '{{.State.ExitCode}}' "$name")
[[ $code == 75 ]] || { cat "$work/first"; fail "exit code $code after SIGTERM, expected 75"; }
done_then=$(wc -l < "$work/logs/demo/records/main.jsonl")
say "SIGTERM: exit 75 after $seconds s, $done_then stages done"

say "and resumed"
run "${study[@]}" > "$work/second" 2>&1 || { cat "$work/second"; fail "it does not go on"; }
words=$(cat "$work/second")
[[ $words == *"stages are done already and kept"* ]] || { cat "$work/second"; fail "it started over"; }
[[ -s $work/logs/demo/report/index.html ]] || fail "no report"
[[ $(stat -c %u "$work/logs/demo/report/index.html") == "${user%%:*}" ]] || fail "the results belong to another user"
say "passed; the image has $("$docker" image inspect --format '{{.Size}}' "$image" | awk '{ printf "%.0f MB", $1 / 1e6 }')"
