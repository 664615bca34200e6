#!/usr/bin/env bash
# What a machine with one CUDA GPU is asked for: the gpu tests, the speed of each engine, and the
# headline study from command to report. Under eight minutes; prints its table last. Needs Python
# 3.11 to 3.13 with torch 2.11 or later and losslab's dependencies; no network.
#
#   OUT=/some/folder bash experiments/throughput/gpu.sh        # PYTHON=... for another Python
set -uo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
out=${OUT:-outputs/gpu}
mkdir -p "$out"
export PYTHONPATH="$PWD/src:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}"
export LOSSLAB_CACHE="$out/cache"

"$python" -c 'import sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__, torch.cuda.get_device_name())' \
    | tee "$out/machine.txt"

timeout 200 "$python" -m pytest -m gpu -q -n 0 -p no:cacheprovider tests > "$out/tests.txt" 2>&1
tests=$(tail -n 1 "$out/tests.txt")

timeout 150 "$python" experiments/throughput/engines.py --device cuda --rounds 2 > "$out/engines.txt" 2>&1
cp experiments/throughput/engines-cuda.json "$out" 2> /dev/null

started=$(date +%s.%N)
timeout 100 "$python" -m losslab study why_squared_error output_dir="$out/study" > "$out/study.txt" 2>&1
study=$?
seconds=$(echo "$(date +%s.%N) - $started" | bc)
cp "$out"/study/why_squared_error/{report.md,results.json} "$out" 2> /dev/null
# Its runs are many small files.
rm -rf "$out/study" "$out/cache"

echo
cat "$out/machine.txt"
echo "gpu tests: $tests"
echo "headline study: exit code $study after $seconds s"
cat "$out/engines.txt"
