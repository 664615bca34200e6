#!/usr/bin/env bash
# What a machine with one CUDA GPU is asked for: the gpu tests, the speed of each engine, the
# headline study from command to report, whether TF32 changes a verdict, and the accuracy and seconds
# of each loss on CIFAR-10, on its JPEG copy where that is at hand (CIFAR10_JPEG, an archive). Under eight
# minutes; prints its table last. Needs Python 3.11 to 3.13 with torch 2.11 or later, losslab's
# dependencies and pytest with pytest-xdist; no network. losslab itself need not be installed. Copy
# .git along, or the results name no commit.
#
#   OUT=/some/folder bash experiments/throughput/gpu.sh        # PYTHON=... for another Python
#   STEPS="tests cifar10" ...                        # some of: tests engines study precision cifar10
#   STEPS=engines ENGINES_SECONDS=500 ENGINES_WORDS='study.measures.engines.sizes=[1,8,64,256]' ...
#   STEPS=evidence ...      # the studies that are planned for a GPU; results.tar.gz has their folders
#   STEPS=evidence STUDIES="label_noise feature_movement" ...
set -uo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
out=${OUT:-outputs/gpu}
steps=${STEPS:-tests engines study precision cifar10}
archive=${CIFAR10_JPEG:-shared/data/cifar10-jpeg.tar.xz}
# To try those steps where there is no GPU.
read -ra smaller <<< "${CIFAR10_WORDS:-}"
read -ra engines <<< "${ENGINES_WORDS:-}"
mkdir -p "$out"
export PYTHONPATH="$PWD/src:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}"
export LOSSLAB_CACHE="$out/cache"

wanted() { [[ " $steps " == *" $1 "* ]]; }

# name, seconds it may take, words: a study, its report kept
study() {
    local name=$1 limit=$2 started=$SECONDS code
    shift 2
    timeout -k 5 "$limit" "$python" -m losslab study "${name%%/*}" output_dir="$out/study" "$@" > "$out/${name##*/}.txt" 2>&1
    code=$?
    mkdir -p "$out/${name##*/}"
    cp -r "$out/study/${name##*/}"/{report.md,results.json,evidence.json,figures} "$out/${name##*/}" 2> /dev/null
    echo "${name##*/}: exit code $code after $((SECONDS - started)) s" >> "$out/studies.txt"
    rm -rf "$out/study" # its runs are many small files
}

: > "$out/studies.txt"
"$python" -c 'import sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")' \
    | tee "$out/machine.txt"

if wanted tests; then
    # All tests with the mark; other files need packages that such a machine may not have.
    mapfile -t marked < <(grep -rlE 'mark\.gpu' tests --include='test_*.py')
    # Single tests to the workers, since by default all tests of a file go to one.
    timeout -k 5 150 "$python" -m pytest -m gpu -q -n 8 --dist worksteal -p no:cacheprovider "${marked[@]}" > "$out/tests.txt" 2>&1
fi

if wanted engines; then
    # Not 256 runs at once: their records alone take minutes.
    study throughput/throughput_full "${ENGINES_SECONDS:-110}" study.size=full "study.measures.engines.sizes=[1,8,64]" "${engines[@]}"
fi

if wanted study; then
    study why_squared_error 60
fi

if wanted precision; then
    study precision 70
fi

if wanted cifar10 && [ -f "$archive" ]; then
    mkdir -p "$out/jpeg"
    tar -xf "$archive" -C "$out/jpeg"
    study cifar10_fast/cifar10_fast_quick 80 study.size=quick launcher=serial \
        data=image_folder data.root="$out/jpeg" study.claims.accurate.at_least=0.91 "${smaller[@]}"
    rm -rf "$out/jpeg"
elif wanted cifar10; then
    echo "cifar10_fast_quick: skipped, as $archive is not there" >> "$out/studies.txt"
fi

if wanted evidence; then
    for one in ${STUDIES:-label_noise feature_movement every_loss number_of_classes budget datasets}; do
        words=()
        grep -qs "^full:" "conf/study/$one.yaml" "experiments/$one/study/$one.yaml" && words=(study.size=full)
        study "$one${words:+/${one}_full}" 150 "${words[@]}"
    done
    tar -czf "$out/results.tar.gz" -C "$out" $(cd "$out" && ls -d */ | grep -v cache)
fi
rm -rf "$out/cache"

echo
cat "$out/machine.txt"
wanted tests && echo "gpu tests: $(tail -n 1 "$out/tests.txt")"
cat "$out/studies.txt"
for name in throughput_full precision; do
    sed -n '/^## Claims/,/^## Runs and machine/p' "$out/$name/report.md" 2> /dev/null
done
wanted cifar10 && sed -n '/^## Claims/,/^## Runs and machine/p' "$out/cifar10_fast_quick/report.md" 2> /dev/null
exit 0
