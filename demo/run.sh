#!/bin/sh
# run.sh BUILD: profiles the demo service of the build tree, prints its hot spots, writes folded stacks and a flame graph.
set -eu

build=$1
out=$build/demo
perfagent=$build/perfagent

rm -f "$out/demo.pfa" "$out/demo.folded" "$out/demo.svg"
echo "\$ perfagent record -F 250 -o $out/demo.pfa -- $out/shop 5"
"$perfagent" record -q -F 250 -o "$out/demo.pfa" -- "$out/shop" 5
echo
echo "\$ perfagent report -i $out/demo.pfa -n 12"
"$perfagent" report -i "$out/demo.pfa" -n 12
"$perfagent" flame -i "$out/demo.pfa" --format folded -o "$out/demo.folded" >/dev/null
"$perfagent" flame -i "$out/demo.pfa" --format svg -o "$out/demo.svg" >/dev/null
here=$(cd "$out" && pwd)
echo
echo "folded stacks: $here/demo.folded"
echo "flame graph:   $here/demo.svg (opens in a browser)"
