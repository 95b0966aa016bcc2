#!/bin/bash
# All that docs/results/nihx/README.md shows, from the root of a checkout: docs/results/nihx/run.sh DATA OUT [cuda|cpu OPTION…]
# Options are those of mmtk ablate, for smaller studies: cpu --seeds 3 --set data.size=64 --set train.steps=300
DATA=$(realpath "$1") DEVICE=${3:-cpu} HERE=$(realpath docs/results/nihx)
mkdir -p "$2" && cd "$2" || exit 1
[ "$DEVICE" = cuda ] && MANY="--per-gpu 15" AT_ONCE=10 || MANY="--jobs 2" AT_ONCE=1
WHERE="--data $DATA --device $DEVICE"
SMALL="--set train.ema=0.99 --set evaluate.cases=2 --set tracking.enabled=false ${*:4}"

study() { # NAME ARGUMENTS…: goes on where it was
  if [ -f "$1/study.json" ]; then mmtk ablate "$1" $WHERE $MANY; else mmtk ablate "${@:2}" $SMALL $WHERE $MANY --out "$1"; fi
}

every() { # COMMAND for every finished run of the systems named, several at once
  local systems=$1; shift
  for system in $systems; do ls -d runs/"$system"-*; done | xargs -P "$AT_ONCE" -I RUN bash -c "$*"
}

# The cures that train anew.
study cures --suite "$HERE/cures.toml" --profile chest-xray-small

# The cures that train nothing.
every plain "python -m mmtk_adapt.batch_norm RUN $WHERE --out batch-norm/\$(basename RUN)"
every plain "mmtk evaluate RUN --profile chest-xray-small $WHERE --no-pictures --set 'tasks=[\"classification\"]' \
  --set data.classification.cross.use=histogram --set data.classification.cross.of=nihx \
  --set data.classification.cross.to=chex --out histogram/\$(basename RUN)"
every plain "mmtk evaluate RUN --profile chest-xray-small $WHERE --no-pictures --set 'tasks=[\"classification\"]' \
  --set data.classification.cross.use=lung-crop --set data.classification.cross.of=nihx \
  --set data.classification.cross.run=RUN --out lung-crop-test/\$(basename RUN)"

# Saliency maps of every method, of the systems without and with the bridge.
MAPS="--map saliency --map captum,method=input-x-gradient --map captum,method=integrated-gradients"
MAPS="$MAPS --map captum,method=smoothgrad --map captum,method=grad-cam --map noise --map centre"
every "plain bridge" "mmtk saliency RUN $MAPS --images 60 $WHERE"

# Films cropped to the lungs, which the first plain run finds.
ln -sfn "$(ls -d runs/plain-*-s0)" masks
study crop --suite "$HERE/crop.toml" --profile "$HERE/crop-profile.toml"

python "$HERE/cures.py" "$DATA" runs batch-norm histogram lung-crop-test
