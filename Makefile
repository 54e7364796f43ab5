# kbench: see README.md. `make help` lists the targets.
#
# CC, BUILD, SAN and OPT choose a build; objects of different choices never mix, since BUILD
# names the folder: make CC=clang BUILD=build/clang, make SAN=address,undefined BUILD=build/asan.

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build
OPT ?= -O2
SAN ?=
BIN ?= $(if $(filter build,$(BUILD)),kbench,$(BUILD)/kbench)

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

SRC := $(sort $(filter-out src/main.c %_test.c,$(wildcard src/*/*.c)))
TESTS := $(sort $(wildcard src/*/*_test.c))
OBJ := $(SRC:src/%.c=$(BUILD)/obj/%.o)
TEST_BIN := $(TESTS:src/%.c=$(BUILD)/test/%)
ASSETS := $(sort $(wildcard kernels/*.cu kernels/*.cuh kernels/host/*.h kernels/host/*.cc cases/*.json))

all: $(BIN)

$(BIN): $(BUILD)/obj/main.o $(BUILD)/libkb.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libkb.a: $(OBJ) $(BUILD)/obj/assets.o
	rm -f $@ && ar rcs $@ $^

$(BUILD)/obj/%.o: src/%.c | toolkit
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# kernels/ and cases/ as bytes in the executable; the table is rewritten when the list changes.
$(BUILD)/gen/assets.c: tools/embed.sh $(ASSETS)
	@mkdir -p $(@D)
	tools/embed.sh $(ASSETS) > $@.tmp && mv $@.tmp $@
$(BUILD)/obj/assets.o: $(BUILD)/gen/assets.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/test/%: src/%.c $(BUILD)/libkb.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(BUILD)/libkb.a $(LDLIBS) -lcmocka

toolkit:
	@test -f "$(CUDA_HOME)/include/cuda.h" || { \
	echo "CUDA Toolkit not found: set CUDA_HOME, or put nvcc on PATH (looked for include/cuda.h in '$(CUDA_HOME)')" >&2; exit 1; }

unit: $(TEST_BIN)
	@for t in $(TEST_BIN); do $$t || exit 1; done

format:
	clang-format -i $(wildcard src/*.h src/*/*.c src/*/*.h src/main.c)

clean:
	rm -rf build kbench

.PHONY: all unit format clean toolkit
-include $(OBJ:.o=.d) $(TEST_BIN:%=%.d) $(BUILD)/obj/main.d
