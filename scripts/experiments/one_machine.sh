#!/usr/bin/env bash
# Runs the experiments of docs/experiments/ that one machine can, with plots and a page.
#
#     scripts/experiments/one_machine.sh [--million]
#
#   --million    also one million tokens, which takes minutes
#
# Everything goes to out/experiments/. 8 to 11 minutes on two cores; nothing else should run.
# Sweeps that were ended go on where they stopped; remove the folder to begin anew.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/mpi_env.sh
source scripts/mpi_env.sh
unset OMPI_MCA_mpi_yield_when_idle # as many ranks as cores: nobody has to yield
out=out/experiments

million=no
case "${1:-}" in
    "") ;;
    --million) million=yes ;;
    *)
        echo "one_machine: unknown option \"$1\"; the only one is --million" >&2
        exit 2
        ;;
esac

[[ -e $out/machine.yaml ]] || mpirun -n 2 build/attnspan bench --calibrate "$out/machine.yaml"
bench() {
    local name=$1
    shift
    "$@" build/attnspan bench "configs/experiments/$name.yaml" \
        --set parallel.machine="../../$out/machine.yaml"
}
for name in ranks_or_threads balance weak predict; do bench "$name" mpirun -n 2; done
for name in window documents; do bench "$name"; done
build/attnspan bench configs/experiments/kernels.yaml # the rates are of the best one alone
echo
scripts/experiments/figures.py "$out"
scripts/plot.py "$out"/{kernels,balance}.csv --only strong efficiency phases roofline memory \
    --output "$out/plots"
scripts/plot.py "$out/weak.csv" --only weak --output "$out/plots"
scripts/plot.py "$out"/{predict,ranks_or_threads,balance,weak,window,documents}.csv --only predicted \
    --output "$out/plots"
scripts/report.py "$out/predict.csv" --summary "$out/predict.json" \
    --title "attnspan on one machine" --output "$out/report.html"
if [[ $million == yes ]]; then
    mpirun -n 2 build/attnspan run configs/experiments/million.yaml
fi
