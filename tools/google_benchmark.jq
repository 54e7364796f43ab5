# google_benchmark.jq - a report of kbench as the JSON of Google Benchmark, for its compare.py:
#
#   jq -f tools/google_benchmark.jq old.json >a.json
#   jq -f tools/google_benchmark.jq new.json >b.json
#   compare.py benchmarks a.json b.json        (with its U test: each block median is a repetition)
#
# Of rows that passed and were timed. There is no CPU time of a kernel: cpu_time repeats real_time.
(.devices | length > 1) as $many_devices
| { context:
      { date: .started,
        host_name: (.devices | map(.name // .id) | join(", ")),
        executable: "kbench \(.kbench)",
        num_cpus: .host.cores,
        mhz_per_cpu: 0,
        cpu_scaling_enabled: false,
        caches: [],
        load_avg: [],
        library_build_type: "release" },
    benchmarks:
      [ .rows | to_entries[]
        | .key as $family | .value as $row
        | select($row.verdict == "PASS")
        | ($row.times // {}) | to_entries
        | to_entries[] | .key as $instance | .value.key as $method | .value.value as $time
        | ([$row.case, "build:\($row.build)", "variant:\($row.variant)"]
            + (if $many_devices then ["device:\($row.device)"] else [] end)
            + ["method:\($method)"] | join("/")) as $name
        | $time.samples_ns | length as $n | to_entries[]
        | { name: $name,
            family_index: $family,
            per_family_instance_index: $instance,
            run_name: $name,
            run_type: "iteration",
            repetitions: $n,
            repetition_index: .key,
            threads: 1,
            iterations: (($time.n / $n) | floor | if . < 1 then 1 else . end),
            real_time: .value,
            cpu_time: .value,
            time_unit: "ns" }
          + (if $time.gb_per_s then { bytes_per_second: ($row.bytes / .value * 1e9) } else {} end) ] }
