# kbench: see README.md. `make help` lists the targets.
#
# CC, BUILD, SAN and OPT choose a build; objects of different choices never mix, since BUILD
# names the folder: make CC=clang BUILD=build/clang, make SAN=address,undefined BUILD=build/asan.

ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build
OPT ?= -O2
SAN ?=
BIN ?= $(if $(filter build,$(BUILD)),kbench,$(BUILD)/kbench)
ARCHES ?= sm_80 sm_90a sm_100a

# The CUDA Toolkit: CUDA_HOME, else /usr/local/cuda, else beside the nvcc on PATH.
CUDA_HOME ?= $(firstword $(wildcard /usr/local/cuda) \
    $(patsubst %/bin/nvcc,%,$(realpath $(shell command -v nvcc 2>/dev/null))))

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wwrite-strings -Werror
CPPFLAGS += -D_GNU_SOURCE -Isrc -I$(BUILD)/gen -isystem $(CUDA_HOME)/include
# No contraction: references must give the same bits whatever the CPU offers.
CFLAGS += -std=c11 $(OPT) -g $(WARN) -fopenmp -ffp-contract=off -fno-math-errno
LDLIBS += -lcjson -lxxhash -lm -ldl -lpthread
ifneq ($(SAN),)
CFLAGS += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SAN)
endif

SRC := $(sort $(filter-out %_test.c,$(wildcard src/*/*.c)))
TESTS := $(sort $(wildcard src/*/*_test.c))
OBJ := $(SRC:src/%.c=$(BUILD)/obj/%.o)
TEST_BIN := $(TESTS:src/%.c=$(BUILD)/test/%)
ASSETS := $(sort $(wildcard kernels/*.cu kernels/*.cuh kernels/host/*.h kernels/host/*.cc \
    cases/*.json))

all: $(BIN) ## build ./kbench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

setup: ## install what building and testing need (apt)
	@tools/setup.sh check

run: ## install what is missing, build, run cases/activation.json, report to build/report.json
	@tools/setup.sh build
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@mkdir -p build
	./kbench cases/activation.json -o build/report.json

check: ## install what is missing, build, run every test that needs no GPU
	@tools/setup.sh check
	@$(MAKE) --no-print-directory -j$$(nproc) all unit-build $(BUILD)/nvrtc_check
	@tools/check.sh

bench: all $(BUILD)/nvrtc_check $(BUILD)/reference_bench ## the tool's own speed, and on a GPU the kernels', as ratios in one run
	@tools/bench.sh

gpu: all unit-build ## what needs a GPU: device tests, check and bench of tag ci
	@tools/gpu.sh

nvrtc: $(BUILD)/nvrtc_check ## compile every variant, dtype and build for $(ARCHES), no GPU
	@$(BUILD)/nvrtc_check $(ARCHES)

asan: ## unit tests and smoke cases of an ASan and UBSan build
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=build/asan SAN=address,undefined OPT=-O1 all unit-build
	@BUILD=build/asan tools/asan.sh

golden: all ## rewrite reports/golden/ (review the diff)
	@tools/golden.sh rewrite

# The bytes of kernels/ and cases/, and build facts, change only when they change.
$(BIN): $(BUILD)/obj/main.o $(BUILD)/libkb.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libkb.a: $(OBJ) $(BUILD)/obj/assets.o
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/obj/%.o: src/%.c Makefile | toolkit
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/gen/assets.c: tools/embed.sh $(ASSETS) $(BUILD)/gen/assets.list
	@mkdir -p $(@D)
	@tools/embed.sh $(ASSETS) > $@.tmp && mv $@.tmp $@
$(BUILD)/gen/assets.list: FORCE
	@mkdir -p $(@D)
	@echo '$(ASSETS)' | cmp -s - $@ || echo '$(ASSETS)' > $@
$(BUILD)/obj/assets.o: $(BUILD)/gen/assets.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/gen/version.h: FORCE
	@mkdir -p $(@D)
	@tools/version.sh "$(CC)" "$(CUDA_HOME)" > $@.tmp; cmp -s $@.tmp $@ && rm $@.tmp || mv $@.tmp $@
$(filter $(BUILD)/obj/cli/%,$(OBJ)) $(filter $(BUILD)/obj/report/%,$(OBJ)): | $(BUILD)/gen/version.h

$(BUILD)/test/%: src/%.c $(BUILD)/libkb.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(BUILD)/libkb.a $(LDLIBS) -lcmocka

$(BUILD)/%: tools/%.c $(BUILD)/libkb.a
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(BUILD)/libkb.a $(LDLIBS)

toolkit:
	@test -f "$(CUDA_HOME)/include/cuda.h" || { \
	echo "CUDA Toolkit not found: set CUDA_HOME to its folder, or put nvcc on PATH" \
	"(looked for include/cuda.h in '$(CUDA_HOME)'); its headers are needed to build, no GPU is" >&2; exit 1; }

unit-build: $(TEST_BIN)
unit: unit-build ## the unit tests alone
	@for t in $(TEST_BIN); do $$t || exit 1; done

format: ## lay out the C sources
	clang-format -i $(wildcard src/*.h src/*/*.[ch] src/main.c tools/*.c)

lint: ## layers, layout, cppcheck
	@tools/lint.sh

clean: ## remove what was built
	rm -rf build kbench

FORCE:
.PHONY: all help setup run check bench gpu nvrtc asan golden toolkit unit unit-build format lint clean FORCE
-include $(OBJ:.o=.d) $(TEST_BIN:%=%.d) $(BUILD)/obj/main.d
