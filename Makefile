# kbench: see README.md. `make help` lists the targets.
#
# CC, CFLAGS, LDFLAGS, SAN, OPT and CUDA_HOME choose a build, BUILD the folder it lies in: what was
# built by other choices is built again. To keep several, name folders: make CC=clang
# BUILD=build/clang, make SAN=address,undefined BUILD=build/asan.

ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build
OPT ?= -O2
SAN ?=
BIN ?= $(if $(filter build,$(BUILD)),kbench,$(BUILD)/kbench)
ARCHES ?= sm_80 sm_90a sm_100a
PREFIX ?= /usr/local
DESTDIR ?=

# The CUDA Toolkit: CUDA_HOME, else /usr/local/cuda, else beside the nvcc on PATH.
ifeq ($(CUDA_HOME),)
CUDA_HOME := $(firstword $(wildcard /usr/local/cuda) \
    $(patsubst %/bin/nvcc,%,$(realpath $(shell command -v nvcc 2>/dev/null))))
endif

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wwrite-strings -Werror
# CPPFLAGS, CFLAGS, LDFLAGS and LDLIBS are the user's, and stand last.
all_cppflags := -D_GNU_SOURCE -Isrc -I$(BUILD)/gen -isystem $(CUDA_HOME)/include $(CPPFLAGS)
# No contraction: references must give the same bits whatever the CPU offers. No path of this
# machine in what is built.
# gcc 12 drops a conversion to float and back of two neighbours in a struct where it makes vectors of
# straight code (reports/golden/vectors/ has a case that shows it).
all_cflags := -std=c11 $(OPT) -fno-tree-slp-vectorize -g $(WARN) -fopenmp -ffp-contract=off -fno-math-errno -fno-trapping-math \
              -ffile-prefix-map=$(CURDIR)=. \
              $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all) \
              $(CFLAGS)
all_ldflags := $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)
all_libs := -lcjson -lxxhash -lm -ldl -lpthread $(LDLIBS)

SRC := $(sort $(filter-out %_test.c,$(wildcard src/*/*.c)))
TESTS := $(sort $(wildcard src/*/*_test.c))
OBJ := $(SRC:src/%.c=$(BUILD)/obj/%.o)
TEST_BIN := $(TESTS:src/%.c=$(BUILD)/test/%)
ASSETS := $(sort $(wildcard kernels/*.cu kernels/*.cuh kernels/host/*.h kernels/host/*.cc \
    cases/*.json))
# What a fuzzer feeds: fuzz.h and replay.c are shared.
FUZZ := $(sort $(filter-out replay,$(patsubst tools/fuzz/%.c,%,$(wildcard tools/fuzz/*.c))))
TARGET ?= $(FUZZ)
SECONDS ?= 60
SHARE := $(BUILD)/share/kbench.1 $(BUILD)/share/kbench.bash $(BUILD)/share/kbench.zsh
# What scripts are told: which build, and its executable.
exe = $(if $(filter /%,$(BIN)),$(BIN),./$(BIN))
told = BUILD='$(BUILD)' BIN='$(exe)'

all: $(BIN) ## build ./kbench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 24

setup: ## install what building and testing need (apt)
	@tools/setup.sh check

run: toolkit ## install what is missing, build, run the ci cases of cases/activation.json, report to build/report.json
	@tools/setup.sh build
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@mkdir -p build
	$(exe) cases/activation.json --tag ci -o build/report.json

check: toolkit ## install what is missing, build, run every test that needs no GPU
	@tools/setup.sh check
	@$(MAKE) --no-print-directory -j$$(nproc) all unit-build replay-build $(BUILD)/nvrtc_check $(BUILD)/controls
	@$(told) tools/check.sh

check-torch: all ## references against a second implementation, by PyTorch or NumPy: the ci cases, or ARGS="--tag full --match 'silu*'"
	@$(told) tools/check_torch.sh $(ARGS)

bench: all $(BUILD)/nvrtc_check $(BUILD)/reference_bench ## the tool's own speed, and on a GPU the kernels', as ratios in one run
	@$(told) tools/bench.sh

gpu: all unit-build ## what needs a GPU: device tests, all cases checked, a baseline and a gate
	@$(told) tools/gpu.sh

gpu-baseline: all ## the baseline alone: the bench cases in every build, three runs, to build/gpu-baseline.json
	@$(told) tools/baseline.sh

gpu-sanitize: all ## on a GPU, every kernel's smoke cases under compute-sanitizer: memcheck, racecheck, synccheck, initcheck
	@$(told) CUDA_HOME='$(CUDA_HOME)' tools/gpu_sanitize.sh

mutants: all ## wrong kernels that must be flagged, right ones that must not: kernels/mutants/
	@tools/mutants.py --bin $(BIN) --build $(BUILD)
	@tools/checker_mutants.py

mutants-checker: toolkit ## edits that make the checker wrong, each killed by its unit test
	@tools/checker_mutants.py

controls: $(BUILD)/controls ## right kernels over SEEDS=10000 seeds: no bound may fail one
	@OMP_WAIT_POLICY=passive $(BUILD)/controls $(SEEDS)

nvrtc: $(BUILD)/nvrtc_check ## compile every variant, dtype and build for $(ARCHES), no GPU
	@$(BUILD)/nvrtc_check $(ARCHES)

asan: ## unit tests, fuzz corpora and smoke cases of an ASan and UBSan build
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=build/asan SAN=address,undefined OPT=-O1 all unit-build replay-build
	@BUILD=build/asan tools/asan.sh

fuzz: toolkit ## fuzz what reads text, 60 s each, or make fuzz SECONDS=600 TARGET="row json"; finds go to build/fuzz/found/
	@tools/setup.sh fuzz
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=build/fuzz CC=clang SAN=address,undefined OPT=-O1 \
	    CFLAGS='$(CFLAGS) -fsanitize=fuzzer-no-link' fuzz-build
	@tools/fuzz.sh build/fuzz $(SECONDS) $(TARGET)

golden: all ## rewrite reports/golden/ (review the diff)
	@$(told) tools/golden.sh rewrite

dist: $(BUILD)/dist/kbench $(SHARE) ## a tar file that runs on another Linux: build/dist/kbench-VERSION-ARCH.tar.gz
	@tools/dist.sh $(BUILD)/dist $(SHARE)

install: all $(SHARE) ## executable, man page and completions below $(DESTDIR)$(PREFIX)
	install -D -m 755 $(BIN) '$(DESTDIR)$(PREFIX)/bin/kbench'
	install -D -m 644 $(BUILD)/share/kbench.1 '$(DESTDIR)$(PREFIX)/share/man/man1/kbench.1'
	install -D -m 644 $(BUILD)/share/kbench.bash '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/kbench'
	install -D -m 644 $(BUILD)/share/kbench.zsh '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_kbench'

uninstall: ## remove what install puts there
	rm -f '$(DESTDIR)$(PREFIX)/bin/kbench' '$(DESTDIR)$(PREFIX)/share/man/man1/kbench.1' \
	    '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/kbench' \
	    '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_kbench'

$(BIN): $(BUILD)/obj/main.o $(BUILD)/libkb.a
	$(CC) $(all_cflags) $(all_ldflags) -o $@ $^ $(all_libs)

ifneq ($(and $(SAN),$(filter dist,$(MAKECMDGOALS))),)
$(error dist is of a build without SAN: sanitizers are no part of it)
endif
# The same, to be moved: it finds the libraries that come with it by its own place.
$(BUILD)/dist/kbench: $(BUILD)/obj/main.o $(BUILD)/libkb.a
	@mkdir -p $(@D)
	$(CC) $(all_cflags) $(all_ldflags) -s -Wl,-rpath,'$$ORIGIN/../lib' -o $@ $^ $(all_libs)

$(BUILD)/share/kbench.1: topic := man
$(BUILD)/share/kbench.bash: topic := bash
$(BUILD)/share/kbench.zsh: topic := zsh
$(SHARE): $(BIN)
	@mkdir -p $(@D)
	@$(exe) help $(topic) >$@.tmp && mv $@.tmp $@

# Facts that are no files are kept in files, which change when the facts do: what was built by
# other flags or compilers, and what holds a file that is gone, is built again.
$(BUILD)/gen/flags: export fact = $(CC) $(shell $(CC) --version 2>&1 | head -n 1) \
    $(realpath $(CUDA_HOME)) $(all_cppflags) $(all_cflags) $(all_ldflags) $(all_libs)
$(BUILD)/gen/assets.list: export fact = $(ASSETS)
$(BUILD)/gen/objects.list: export fact = $(OBJ)
$(BUILD)/gen/flags $(BUILD)/gen/assets.list $(BUILD)/gen/objects.list: FORCE | toolkit
	@mkdir -p $(@D)
	@printf '%s\n' "$$fact" | cmp -s - $@ || printf '%s\n' "$$fact" >$@

$(BUILD)/gen/version.h: FORCE | toolkit
	@mkdir -p $(@D)
	@tools/version.sh "$(CC)" "$(CUDA_HOME)" > $@.tmp; cmp -s $@.tmp $@ && rm $@.tmp || mv $@.tmp $@
$(filter $(BUILD)/obj/cli/%,$(OBJ)) $(filter $(BUILD)/obj/report/%,$(OBJ)): | $(BUILD)/gen/version.h

$(BUILD)/libkb.a: $(OBJ) $(BUILD)/obj/assets.o $(BUILD)/gen/objects.list
	@rm -f $@
	@ar rcsD $@ $(filter %.o,$^)

$(BUILD)/obj/%.o: src/%.c $(BUILD)/gen/flags
	@mkdir -p $(@D)
	$(CC) $(all_cppflags) $(all_cflags) -MMD -MP -c -o $@ $<

$(BUILD)/gen/assets.c: tools/embed.sh $(ASSETS) $(BUILD)/gen/assets.list
	@tools/embed.sh $(ASSETS) > $@.tmp && mv $@.tmp $@
$(BUILD)/obj/assets.o: $(BUILD)/gen/assets.c $(BUILD)/gen/flags
	@mkdir -p $(@D)
	$(CC) $(all_cppflags) $(all_cflags) -c -o $@ $<

$(BUILD)/test/%: src/%.c $(BUILD)/libkb.a
	@mkdir -p $(@D)
	$(CC) $(all_cppflags) $(all_cflags) -MMD -MP -MF $@.d -MT $@ $(all_ldflags) -o $@ $< $(BUILD)/libkb.a $(all_libs) -lcmocka

# How long a race takes is by the test's own clock. Private: else all that it is linked with is built again for it.
$(BUILD)/test/measure/race_test: private all_ldflags += -Wl,--wrap=kb_now_ns

# Right kernels in plain C, each compiled twice: every operation rounded by itself, and fused.
CONTROLS := $(sort $(wildcard tools/controls/*.c))
fused := -ffp-contract=fast -DKB_FUSED $(if $(filter x86_64,$(shell uname -m)),-mfma)
$(BUILD)/controls.d/%.plain.o: tools/controls/%.c $(BUILD)/gen/flags
	@mkdir -p $(@D)
	$(CC) $(all_cppflags) -Itools $(all_cflags) -MMD -MP -c -o $@ $<
$(BUILD)/controls.d/%.fused.o: tools/controls/%.c $(BUILD)/gen/flags
	@mkdir -p $(@D)
	$(CC) $(all_cppflags) -Itools $(all_cflags) $(fused) -MMD -MP -c -o $@ $<
control_objects := $(foreach kind,plain fused,$(CONTROLS:tools/controls/%.c=$(BUILD)/controls.d/%.$(kind).o))
$(BUILD)/controls: tools/controls.c $(control_objects) $(BUILD)/libkb.a
	$(CC) $(all_cppflags) -Itools $(all_cflags) -MMD -MP -MF $@.deps -MT $@ $(all_ldflags) -o $@ $(filter-out %.h,$^) $(all_libs)

$(BUILD)/%: tools/%.c $(BUILD)/libkb.a
	$(CC) $(all_cppflags) $(all_cflags) -MMD -MP -MF $@.d -MT $@ $(all_ldflags) -o $@ $< $(BUILD)/libkb.a $(all_libs)

# With a fuzzer's main (of clang), and with one that replays files.
$(BUILD)/fuzz/% $(BUILD)/replay/%: all_ldflags += -Wl,--wrap=kb_out_of_memory
$(BUILD)/fuzz/%: tools/fuzz/%.c $(BUILD)/libkb.a
	@mkdir -p $(@D)
	$(CC) $(all_cppflags) $(all_cflags) -MMD -MP -MF $@.d -MT $@ $(all_ldflags) -fsanitize=fuzzer -o $@ $< $(BUILD)/libkb.a $(all_libs)
$(BUILD)/obj/replay.o: tools/fuzz/replay.c $(BUILD)/gen/flags
	@mkdir -p $(@D)
	$(CC) $(all_cppflags) $(all_cflags) -MMD -MP -c -o $@ $<
$(BUILD)/replay/%: tools/fuzz/%.c $(BUILD)/obj/replay.o $(BUILD)/libkb.a
	@mkdir -p $(@D)
	$(CC) $(all_cppflags) $(all_cflags) -MMD -MP -MF $@.d -MT $@ $(all_ldflags) -o $@ $< $(BUILD)/obj/replay.o $(BUILD)/libkb.a $(all_libs)

fuzz-build: $(TARGET:%=$(BUILD)/fuzz/%)
replay-build: $(FUZZ:%=$(BUILD)/replay/%)

toolkit:
	@test -f "$(CUDA_HOME)/include/cuda.h" || { \
	echo "CUDA Toolkit not found: set CUDA_HOME to its folder, or put nvcc on PATH" \
	"(looked for include/cuda.h in '$(CUDA_HOME)'); its headers are needed to build, no GPU is" >&2; exit 1; }

unit-build: $(TEST_BIN)
unit: unit-build ## the unit tests alone
	@for t in $(TEST_BIN); do $$t || exit 1; done

format: ## lay out the C sources
	clang-format -i $(wildcard src/*.h src/*/*.[ch] src/main.c tools/*.c tools/controls/*.[ch] tools/fuzz/*.[ch])

lint: ## layers, layout, cppcheck
	@tools/lint.sh

clean: ## remove what was built
	rm -rf build kbench

FORCE:
.PHONY: all help setup run check check-torch bench gpu gpu-baseline gpu-sanitize mutants mutants-checker \
    controls nvrtc asan golden dist install uninstall toolkit unit unit-build fuzz fuzz-build replay-build format lint clean FORCE
-include $(FUZZ:%=$(BUILD)/fuzz/%.d) $(FUZZ:%=$(BUILD)/replay/%.d) $(BUILD)/obj/replay.d
-include $(OBJ:.o=.d) $(TEST_BIN:=.d) $(control_objects:.o=.d) $(BUILD)/controls.deps $(BUILD)/obj/main.d $(BUILD)/nvrtc_check.d $(BUILD)/reference_bench.d
