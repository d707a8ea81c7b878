# A thin front for meson: one word for each thing a developer does.
#
#   make               build
#   make run           show the main job; make run ARGS='-- PROGRAM ...' runs another program
#   make test          all test suites
#   make conformance   unmodified userfaultfd programs, the kernel's userfaultfd denied
#   make bench         the speed table, against the kernel
#   make bench-serve   the page server, against a plain handler
#   make install       into PREFIX, with DESTDIR
#   make check-format  what clang-format would change
#   make clean         remove the build directory
#
# run, test, conformance, bench and bench-serve first install the Debian packages that they need and that are missing.

BUILD ?= build
# Debian's own: it brings the Python it needs, whatever python3 comes first in PATH.
MESON ?= /usr/bin/meson
PREFIX ?= /usr/local
ARGS ?=
export BUILD MESON

.PHONY: all run test conformance bench bench-serve install clean check-format
.PHONY: setup-build setup-run setup-test setup-conformance setup-bench

all: $(BUILD)/build.ninja
	@ninja $(NINJA_FLAGS) -C $(BUILD)

$(BUILD)/build.ninja:
	@test -x "$(MESON)" || { \
		echo "make: $(MESON) is missing; scripts/setup build installs what is needed" >&2; \
		exit 1; }
	@mkdir -p $(BUILD)
	@echo "configuring $(BUILD)"
	@$(MESON) setup $(BUILD) >$(BUILD)/setup.log 2>&1 || { cat $(BUILD)/setup.log >&2; exit 1; }

setup-build setup-run setup-test setup-conformance setup-bench:
	@scripts/setup $(patsubst setup-%,%,$@)

run: setup-run
	@$(MAKE) --no-print-directory all NINJA_FLAGS=--quiet
	@scripts/run-demo $(ARGS)

test: setup-test
	@$(MAKE) --no-print-directory all NINJA_FLAGS=--quiet
	@scripts/test $(ARGS)

conformance: setup-conformance
	@$(MAKE) --no-print-directory all NINJA_FLAGS=--quiet
	@tests/conformance/run --build=$(BUILD) $(ARGS)

bench: setup-bench
	@$(MAKE) --no-print-directory all NINJA_FLAGS=--quiet
	@bench/run $(BUILD) $(ARGS)

bench-serve: setup-bench
	@$(MAKE) --no-print-directory all NINJA_FLAGS=--quiet
	@bench/serve/run $(BUILD) $(ARGS)

install: $(BUILD)/build.ninja
	@$(MESON) configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja $(NINJA_FLAGS) -C $(BUILD)
	@$(MESON) install -C $(BUILD) --no-rebuild

clean:
	@rm -rf $(BUILD)

check-format:
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror
