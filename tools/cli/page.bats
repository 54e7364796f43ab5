#!/usr/bin/env bats
# page.bats - reports for people and for CI: the HTML page in a real browser, plots, JUnit XML,
# what GitHub Actions is told. Chromium is too large for make setup (300 MB, for two tests): they
# are skipped where it is not installed (apt-get install chromium).

load common

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
needs_browser() {
    [ -n "$chromium" ] || skip "no Chromium: apt-get install chromium"
}

# A run with every verdict of a page, by a kernel file whose name is markup.
name='"><img src=x onerror=alert(1)>&lt;.cu'
report() {
    mutant "$name" 'if (i >= n)' 'if (i >= n || (hidden == 8 && i > 20))'
    on_host --op silu --shape 7x16,3x34,5x258,16x34 --dtype bf16,fp32 --kernel "$name" \
        --build precise,fast-math "$@"
    status_is 1
}

# browse PAGE SCRIPT: what the script returns, run in the page as one of its own; the console
# goes to the file `console`.
browse() {
    local nonce
    nonce=$(grep -o '<script nonce="[0-9a-f]*"' "$1" | cut -d '"' -f 2)
    grep -v '^</body>$\|^</html>$' "$1" >browsed.html
    printf '<script nonce="%s">document.documentElement.dataset.seen = (() => {%s})();</script></body></html>\n' \
        "$nonce" "$2" >>browsed.html
    dump browsed.html | grep -o '<html[^>]*data-seen="[^"]*"' | sed 's/.*data-seen="//; s/"$//'
    ! grep CONSOLE log >console
}
dump() {
    HOME=$PWD timeout 60 "$chromium" --headless --no-sandbox --disable-gpu --user-data-dir=profile \
        --enable-logging=stderr --dump-dom "file://$PWD/$1" 2>log
}

@test "in a browser the page sorts and filters, and the console is empty" {
    needs_browser
    report -o r.html
    local seen
    seen=$(browse r.html "
        const head = word => Array.from(document.querySelectorAll('#rows th'))
            .find(th => th.textContent === word);
        const cells = i => Array.from(document.querySelectorAll('#rows tbody tr:not([hidden])'))
            .map(row => row.cells[i].textContent);
        const out = [cells(1).length];
        head('err/bound').firstChild.click();
        out.push('up ' + cells(head('err/bound').cellIndex).join(' '));
        head('err/bound').firstChild.click();
        out.push('down ' + cells(head('err/bound').cellIndex).join(' '));
        head('case').firstChild.click();
        out.push('case ' + cells(1).slice(0, 3).join(' '));
        const filter = document.getElementById('filter');
        filter.value = 'fp32 -3x34';
        filter.dispatchEvent(new Event('input'));
        out.push('fp32 ' + Array.from(new Set(cells(1))).join(' '));
        document.querySelector('[type=checkbox][value=pass]').click();
        out.push('not pass ' + Array.from(new Set(cells(0))).join(' '));
        out.push(document.getElementById('shown').textContent);
        out.push(document.scripts.length + ' scripts ' + document.images.length + ' images');
        return out.join('|');")
    echo "$seen"
    cat console
    [ ! -s console ]
    local number='(0\.[0-9]+ )+'
    [[ $seen =~ ^16\|up\ $number(- )*-\|down\ $number(- )*-\| ]]
    # Numbers in order, both ways, and rows without one last.
    [ "$(sed 's/.*|up \([^|]*\)|.*/\1/' <<<"$seen" | tr ' ' '\n' | grep -v '^-$' | sort -c -n && echo ok)" = ok ]
    [ "$(sed 's/.*|down \([^|]*\)|.*/\1/' <<<"$seen" | tr ' ' '\n' | grep -v '^-$' | sort -c -rn && echo ok)" = ok ]
    [[ $seen == *'|case silu/3x34/bf16 silu/3x34/bf16 silu/3x34/fp32|'* ]]
    [[ $seen == *'|fp32 silu/5x258/fp32 silu/7x16/fp32 silu/16x34/fp32|'* ]]
    [[ $seen == *'|not pass SKIP FAIL|4 of 16|2 scripts 0 images' ]]
}

@test "in a browser nothing runs but the page's own script, and without scripts it is whole" {
    needs_browser
    report -o r.html
    sed 's|^</body>|<script>document.title = "run"</script></body>|' r.html >added.html
    dump added.html >dom
    grep -q '<title>kbench: 2 pass' dom || grep -q '<title>kbench: ' dom
    finds_none '<title>run' dom
    grep -q 'CONSOLE.*Content Security Policy' log # the console is seen here
    grep -q '<div id="controls" hidden>' r.html
    [ "$(grep -c '<tr data-verdict=' r.html)" -eq 16 ]
    finds_none -oE '(src|href)="?[a-z]+:' r.html
}

@test "gnuplot draws the plots; where it is missing or fails, the page says so and has all else" {
    command -v gnuplot >/dev/null || skip "no gnuplot: apt-get install gnuplot-nox"
    report -o r.html -o r.jsonl
    [ "$(grep -c '<svg' r.html)" -ge 1 ]
    finds_none 'No plots' r.html
    # No part of a name is a command or a file of gnuplot's.
    left_are "$name" r.html r.jsonl
    mkdir bin
    printf '#!/bin/sh\necho "no terminal"; exit 3\n' >bin/gnuplot
    chmod +x bin/gnuplot
    PATH=$PWD/bin:$PATH report -o f.html
    grep -q 'No plots: gnuplot: exit status 3: no terminal' f.html
    [ "$(grep -c '<tr data-verdict=' f.html)" -eq 16 ]
    rm bin/gnuplot
    ln -s /usr/bin/* /bin/* bin/ 2>/dev/null || true
    rm -f bin/gnuplot*
    PATH=$PWD/bin report -o m.html
    grep -q '<p class="note">No plots: .*gnuplot' m.html
    [ "$(grep -c '<article' m.html)" -eq "$(grep -c '<article' r.html)" ]
}

@test "JUnit XML is well formed and has a test case for each row" {
    report -o r.xml
    python3 - r.xml >seen <<'PY'
import sys
import xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
suite = root.find("testsuite")
cases = suite.findall("testcase")
kinds = [c[0].tag if len(c) else "pass" for c in cases]
assert root.tag == "testsuites" and int(suite.get("tests")) == len(cases) == 16
assert kinds.count("failure") == int(suite.get("failures")) == 2, kinds
assert kinds.count("skipped") == int(suite.get("skipped")) == 8, kinds
assert len({c.get("name") for c in cases}) == 16
failure = next(c[0] for c in cases if len(c) and c[0].tag == "failure")
assert failure.get("message").startswith("FAIL: from [2, 5] to the end"), failure.get("message")
assert "repeat    kbench --case silu/7x16/" in failure.text and "<img src=x" in failure.text
PY
}

@test "in GitHub Actions a run annotates what failed and adds to the summary of the job" {
    echo "# before" >summary
    GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY=$PWD/summary report --format json
    jq -e '.count.fail == 2' <<<"$output" # standard output is the report, and nothing else
    says '::error title=FAIL silu/7x16/bf16::from \[2, 5\] to the end*%0Akbench --case silu/7x16/bf16*'
    [ "$(grep -c '^::' <<<"$stderr")" -eq 2 ]
    last_says 'exit 1: 2 rows failed'
    [ "$(head -n 1 summary)" = "# before" ]
    grep -q '^\*\*kbench\*\* 6 pass, \*\*2 FAIL\*\*' summary
    grep -q '^| \*\*FAIL\*\* | silu/7x16/fp32 ' summary
    # A pass annotates nothing; elsewhere nothing is said.
    GITHUB_ACTIONS=true on_host --op silu --shape 7x16
    status_is 0
    [ -z "$stderr" ]
    report -q
    finds_none '^::' <<<"$stderr"
}

@test "in GitHub Actions no line of a compiler's is a command of the workflow" {
    mutant bad.cu 'if (i >= n)' 'static_assert(sizeof(T) == 1, "\n  ::stop-commands::x\n##[group]y"); if (i >= n)'
    GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY=$PWD/summary on_host --op silu --shape 7x16,3x34 --kernel bad.cu
    status_is 5
    has_line " *: :stop-commands::x"
    # The runner trims lines, and knows ##[ anywhere in them; annotations are kbench's own.
    printf '%s\n' "$output" "$stderr" "$(<summary)" | grep -v '^::error title=ERROR silu/' >others
    finds_none -E '^[[:space:]]*::|##\[' others
    # Elsewhere it is as the compiler wrote it.
    on_host --op silu --shape 7x16,3x34 --kernel bad.cu
    has_line " *::stop-commands::x"
}

@test "the examples for CI are YAML, and kbench takes each of their command lines" {
    local file line
    for file in "$top"/tools/ci/*.yml; do
        if python3 -c 'import yaml' 2>/dev/null; then
            python3 -c 'import sys, yaml; yaml.safe_load(open(sys.argv[1]))' "$file"
        fi
        grep -oE '\./kbench [a-z].*' "$file" | sed 's/; done$//; s/\$i/1/g' >lines
        [ "$(wc -l <lines)" -ge 3 ]
        while IFS= read -r line; do
            # Names of files alone are wrong here: nothing of the line is.
            eval "kbench ${line#./kbench }" </dev/null
            echo "$line: $status $stderr"
            finds_none -E 'unknown|not in this version|wants .* after it' <<<"$stderr"
        done < <(sed 's/--backend cuda/--backend cuda --mode list/; s/--backend host/--mode list/' lines)
    done
}

@test "the roofline ends a little above what the device does, whatever one op's operations a byte are" {
    # Of mma there are 1e6 operations to a byte: memory's line went on to 1e10 GFLOP/s.
    kbench merge "$top/reports/nvidia-h200.json" -o h.html
    grep -q 'roofline' h.html
    grep -q '1e+06' h.html
    finds_none -E '1e\+(0[7-9]|1)' h.html
}

@test "a report as Google Benchmark's JSON has a repetition for each block median" {
    # Made of a report that was taken on a GPU: nothing is timed here.
    jq '.rows |= map(select(.case | endswith("/16384x2048/bf16")))' \
        "$top/reports/nvidia-h200-activation.json" >kept.json
    jq -f "$top/tools/google_benchmark.jq" kept.json >g.json
    jq -e '(.benchmarks | length) > 6 and (.context.executable | startswith("kbench "))' g.json
    jq -e '.benchmarks[0] | .name == "silu/16384x2048/bf16/build:precise/variant:vec16/method:graph"
        and .time_unit == "ns" and .run_type == "iteration" and .real_time > 20000
        and .cpu_time == .real_time and .repetition_index == 0 and .iterations >= 1' g.json
    [ "$(jq '[.rows[].times[].samples_ns | length] | add' kept.json)" -eq \
        "$(jq '.benchmarks | length' g.json)" ]
    # What failed has no time to compare.
    jq '.rows[].verdict = "FAIL"' kept.json |
        jq -f "$top/tools/google_benchmark.jq" | jq -e '.benchmarks == []'
}
