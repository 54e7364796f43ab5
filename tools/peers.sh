#!/bin/sh
# peers.sh FOLDER WORDS... - ours beside the peers' best on this GPU: the cases that the words select
# through peers.py and through kbench, one after the other, and a table of how they stand. Reports
# stay in FOLDER. PEERS=eager,compile,... those alone; BIN another kbench.
#
#     tools/peers.sh build/peers cases/ --tag bench
set -u
here=$(dirname "$0")
bin=${BIN:-$here/../kbench}
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 4; }
folder=$1
shift
mkdir -p "$folder" || exit 7
rm -f "$folder/best.json"
python3 "$here/peers.py" --kbench "$bin" --max-time 0.3 ${PEERS:+--peer "$PEERS"} "$@" \
    -o "$folder/peers.json" --best "$folder/best.json"
status=$?
[ -f "$folder/best.json" ] || exit $status
"$bin" "$@" --method graph,pdl -q -o "$folder/ours.json"
ours=$?
python3 "$here/peers_table.py" "$folder/best.json" "$folder/ours.json" || exit 3
[ $ours -ne 0 ] && exit $ours
exit $status
