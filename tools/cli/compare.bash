# compare.bash - what the tests of commands that compare reports share: reports that were never
# measured.

# fake FILE WORD...: compare_fake.py tells the words.
fake() {
    "$BATS_TEST_DIRNAME/compare_fake.py" "$@"
}
# A baseline of three runs: base.json.
base() {
    local i
    for i in 1 2 3; do
        fake "r$i.json" "run=$i" commit=4f1c2aa started=2026-11-14T00:00:00Z "$@"
    done
    kbench merge --runs r1.json r2.json r3.json -o base.json
    status_is 0
}
# shows <<TEXT: standard output is that, to the letter.
shows() {
    diff -u - <(printf '%s\n' "$output") || { seen; return 1; }
}
