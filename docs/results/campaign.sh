#!/bin/sh
# The runs that the tables of this folder rest on, in order of worth. Each command goes on where it stopped, so that the
# whole may be interrupted and started again: sh docs/results/campaign.sh DATA OUT [PART...]
#
# DATA holds edges2shoes/ and celeba/; OUT is where runs go. JOBS runs at a time, 2 by default; SEEDS where ten seeds are
# meant, 10 by default (three now, ten later: the runs that are there count). Beside each part stand the
# minutes on one core of a Xeon with AVX-512 but without bf16, estimated: 3.9 steps/s of DiscoGAN, and one minute a run for
# what evaluations learn.
set -eu
data=$1
out=$2
shift 2
here=$(cd "$(dirname "$0")/narrow" && pwd)

# NAME SEEDS BEST RECIPE...: so many seeds of all recipes; all with one seed, before the next one begins.
seeds() {
    name=$1 count=$2 best=$3
    shift 3
    ganforge compare "$@" --seeds "$count" --jobs "${JOBS:-2}" --out "$out/$name" --set compute.threads=1 \
        --set dataset.validation="$share" --set record.evaluate_every=250 --set record.best="$best" > /dev/null
}

# NAME SEEDS SHOWN: all three models of a turntable recipe, those that are shipped or those in narrow/.
turntable() {
    case $1 in
        car2car | face2face) baselines="gan_$1_turntable gan_recon_$1_turntable" ;;
        *) baselines="$here/gan_$1_turntable.toml $here/gan_recon_$1_turntable.toml" ;;
    esac
    seeds "$1" "$2" -azimuth.rmse $baselines "discogan_$1_turntable"
}

# NAME SEEDS BEST ROOT: all three models of a recipe in narrow/.
narrow() {
    seeds "$1" "$2" "$3" "$here/gan_$1_narrow.toml" "$here/gan_recon_$1_narrow.toml" "$here/discogan_$1_narrow.toml" \
        --set dataset.root="$4"
}

for part in ${*:-car2car face2face edges2shoes celeba classes sweep norm}; do
    share=0.1
    case $part in
        car2car) turntable car2car "${SEEDS:-10}" ;;                                       # 190 minutes
        face2face) turntable face2face "${SEEDS:-10}" ;;                                   # 190 minutes
        edges2shoes) narrow edges2shoes "${SEEDS:-10}" -pairs.l1_AB "$data/edges2shoes" ;;          # 170 minutes
        norm) # 60 minutes: of the runs that are there
            for run in "$out"/*/seed-*/discogan_*/0001; do
                for norm in recalibrated running batch; do
                    ganforge evaluate "$run" --norm "$norm" --out "$out/norm/$norm/${run#"$out"/}"
                done
            done ;;
        celeba) # 150 minutes
            share=own
            for what in hair eyeglasses gender; do
                narrow "celeba_$what" 3 attributes.kept_balanced_AB "$data/celeba"
            done ;;
        classes) turntable chair2car 3 && turntable car2face 3 ;;                       # 110 minutes
        sweep) # 350 minutes: GAN is the weight 0
            seeds car2car-weight 3 -azimuth.rmse gan_recon_car2car_turntable discogan_car2car_turntable \
                --vary losses.reconstruction.weight=1,10,30,270
            seeds car2car-270 "${SEEDS:-10}" -azimuth.rmse discogan_car2car_turntable \
                --set losses.reconstruction.weight=270 ;;
        *) echo "unknown part: $part" >&2 && exit 2 ;;
    esac
done
