#!/usr/bin/env bash
# Send so many rows through pipeline.py, from muster send to muster receive, and end all of it: run.sh ROWS [FLAG]...
# The flags are those of muster run: --workers 8, or --machines 3. MUSTER names the command. It works in a folder of its
# own, output/stream.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
muster=$(realpath "$(command -v "${MUSTER:-muster}")")
rows=$1
shift
rm -rf output/stream && mkdir -p output/stream && cd output/stream

"$muster" receive -o received.csv --listen "${TO:-127.0.0.1:9999}" --once & receiver=$!
"$muster" run "$here/pipeline.py" "$@" & stream=$!
trap 'kill $receiver $stream 2> /dev/null || true; wait' EXIT
"$muster" send --rows "$rows" --to "${FROM:-127.0.0.1:8888}" 2> send.log || { cat send.log >&2; exit 1; }
journal=labelled.muster/journal.jsonl
until grep -qs "\"pid\":$stream," $journal; do sleep 0.1; done   # rows are taken before the run has its name
"$muster" stop "$(sed -n '1s/.*"run":"\([^"]*\)".*/\1/p' $journal)"   # it does what has come, and sends it
wait $stream
wait $receiver
trap - EXIT
[ -z "$(jobs -rp)" ] || { echo "Something still runs: $(jobs -l)" >&2; exit 1; }
"$(dirname "$muster")/python" - "$rows" << 'END'
import sys

import pandas as pd

received = pd.read_csv("received.csv", dtype="str")
print(f"{len(received):,} of {int(sys.argv[1]):,} rows went through; nothing is left running")
sys.exit(len(received) != int(sys.argv[1]))
END
