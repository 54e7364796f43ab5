#!/usr/bin/env bats
# completion.bats - completions as bash and zsh do them, and the manual as troff reads it.

load common

# offered LINE: what bash puts in the place of the last piece of LINE, sorted, a line each.
offered() {
    bash --norc -c '
        source <("$1" help bash)
        COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=${3-$COMP_WORDBREAKS}
        _kbench "$1"
        [ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}" | sort
    ' bash "$bin" "$@"
}
offers() { # LINE WORD...
    local got want
    got=$(offered "$1" | tr '\n' ' ')
    shift
    want="$*${*:+ }"
    [ "$got" = "$want" ] || { echo "offered: $got"; echo "wanted:  $want"; return 1; }
}

@test "bash: names of options, and the words for their values" {
    offers "kbench --mo" --mode
    offers "kbench --op silu --max-t" --max-time
    offers "kbench --fail" --fail-fast
    offers "kbench --columns=ulp,re" ulp,registers
    offers "kbench --sort ver" verdict
    offers "kbench --format=h" html
    offers "kbench --format ta" table
    offers "kbench --mode " bench build check list
    offers "kbench --mode=b" bench build
    offers "kbench --op ge" gelu gelu_tanh
    offers "kbench -q --color a" always auto
    offers "kbench --jobs "
    offers "kbench --nonsense="
}

@test "bash: values with commas, and those with =" {
    offers "kbench --op silu,ge" silu,gelu silu,gelu_tanh
    offers "kbench --op=silu,gelu,str" silu,gelu,stream
    offers "kbench --set lay" layout=gate_up layout=up_gate
    offers "kbench --set layout=g" gate_up
    offers "kbench --set=layout=g" gate_up
    [ "$(offered "kbench --set=layout=g" ' ')" = --set=layout=gate_up ]
    offers "kbench --sanitize address,un" address,undefined
}

@test "bash: cases, as kbench list cases gives them" {
    offers "kbench --case silu/83x1022/bf16/inp" silu/83x1022/bf16/inplace=yes
    offers "kbench --case gelu/7x16/fp32,silu/83x1022/bf16/inplace=y" yes
}

@test "bash: commands, lists, topics, files" {
    mkdir helpers
    touch a.json b.cu c.txt
    offers "kbench he" help helpers
    offers "kbench list " builds cases devices ops variants
    offers "kbench list ops "
    offers "kbench list cases " a.json helpers
    offers "kbench help ver" verdicts
    offers "kbench help silu gelu_" gelu_tanh
    offers "kbench --op silu " a.json diff gate help helpers list merge run selftest
    offers "kbench --rerun " a.json helpers
    offers "kbench run " a.json helpers
    offers "kbench x.json --op silu " a.json helpers
    offers "kbench --kernel " b.cu helpers
    offers "kbench --kernel=b" b.cu
    offers "kbench -o " a.json b.cu c.txt helpers
    offers "kbench -o a.json --verb" --verbose
}

# zsh_offers LINE WORD...: the matches that zsh found, seen where it adds them.
zsh_offers() {
    local got line=$1
    shift
    rm -f hits # not by the shell inside: it would come before or after the matches
    got=$(timeout 30 zsh -f -c '
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z "PROMPT=; fpath=($PWD/fn \$fpath); autoload -Uz compinit; compinit -D -u"
        zpty -w z "compadd() { local -a hits; builtin compadd -A hits \"\$@\"
            print -r -- \"<\"\${^hits}\">\" >>hits; builtin compadd \"\$@\" }"
        zpty -w z "echo g\"\"o"
        zpty -r z seen "*go*"
        zpty -n -w z "$1"$'"'\t'"'
        for i in {1..250}; do [[ -s hits ]] && break; sleep 0.1; done
        sleep 0.2
        zpty -d z' zsh "$line" >/dev/null; sort -u hits | grep -o '<[^<>]*>' | tr -d '<>' | tr '\n' ' ')
    [ "$got" = "$*${*:+ }" ] || { echo "offered: $got"; echo "wanted:  $*"; return 1; }
}

@test "zsh: the same" {
    command -v zsh || skip "no zsh here"
    mkdir fn bin
    ln -s "$bin" bin/kbench
    PATH=$PWD/bin:$PATH
    kbench help zsh
    status_is 0
    printf '%s\n' "$output" >fn/_kbench
    zsh -n fn/_kbench
    zsh_offers "kbench --op silu,ge" gelu gelu_tanh
    zsh_offers "kbench --format=j" json jsonl
    zsh_offers "kbench --max-t" --max-time
    zsh_offers "kbench --sort ver" verdict
    zsh_offers "kbench help ver" verdicts
    zsh_offers "kbench --case silu/83x1022/bf16/inp" silu/83x1022/bf16/inplace=yes
}

@test "the manual is right troff, and shows what is typed" {
    kbench help man
    status_is 0
    printf '%s\n' "$output" >kbench.1
    command -v groff || skip "no groff here"
    run -0 --separate-stderr groff -ww -man -Tascii -P -cbou kbench.1
    [ -z "$stderr" ]
    has_line "KBENCH(1)*"
    has_line "       --backend auto|cuda|host"
    has_line "       -o, --output FILE"
    has_line "EXIT STATUS"
    for ((i = 0; i < ${#lines[@]}; i++)); do
        [ "${#lines[i]}" -le 80 ] || { echo "too wide: ${lines[i]}"; return 1; }
    done
    if command -v mandoc; then
        sed -i 's/^\(.TH KBENCH 1\) ""/\1 "2026-01-01"/' kbench.1 # built without git
        run -0 mandoc -T lint -W warning kbench.1
    fi
}
