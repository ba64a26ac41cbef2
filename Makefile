# `make help` lists what there is. Flags of the release build are here and nowhere else.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The standard library inside, no symbols, and no exclusivity checks at run time: tests in debug keep those. See ARCHITECTURE.md.
RELEASE := swift build -c release --product headrace --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked -Xlinker -s
BINARY := .build/release/headrace
# A sanitizer brings its own malloc, of which glibc knows nothing to compare with. Eight tests at a time, as in scripts/test: with more none answers in its time.
SANITIZED := --skip IntegrationTests --skip MemoryAccountingTests
test-tsan test-asan: export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH := 8

ifdef ONCE
DEMO += --once
endif
ifdef QUICK
DEMO += --rounds 1 --duration 1s --proof-rounds 2
endif

.PHONY: help demo build test test-full test-tsan test-asan bench docs

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: ## the sample application with and without the edge; then it stays up (ONCE=1: ends by itself, QUICK=1: short)
	@scripts/setup build demo
	@$(RELEASE) >&2
	@exec $(BINARY) demo $(DEMO)

build: ## the release binary, .build/release/headrace
	@scripts/setup build
	@$(RELEASE)

test: ## every test, those against real peers too
	@scripts/setup build demo test
	@$(RELEASE)
	@scripts/test

test-full: test ## the long ones besides: fuzzing, hit rates, sanitizers, soak
	@HEADRACE_LONG=1 swift test --filter 'HTTP1WireTests|EvictionTests|KeyQueuesTests|CrashTests|LinearizabilityTests|FuzzTests|MeasuringTests|PoolerEnduranceTests|PoolerLoginTests|two hundred open dashboards|real data in every block'
	@HEADRACE_LONG=1 swift test --filter MemoryTotalTests
	@Fuzz/run 60
	@$(MAKE) test-tsan test-asan
	@scripts/soak 300

test-tsan: ## the tests of the code with ThreadSanitizer
	@scripts/setup build demo test
	@TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/threads.suppressions swift test --scratch-path .build-tsan --sanitize=thread -Xswiftc -DHEADRACE_THREAD_SANITIZER $(SANITIZED)

# Without its search for leaks at the end: it does not see what globals and running threads hold by pointers that Swift has put bits into.
test-asan: ## the tests of the code with AddressSanitizer
	@scripts/setup build demo test
	@ASAN_OPTIONS=detect_leaks=0:suppressions=$(CURDIR)/Tests/addresses.suppressions swift test --scratch-path .build-asan --sanitize=address $(SANITIZED)

bench: ## server CPU per request and transaction beside nginx, HAProxy, Varnish, PgBouncer, Redis, the load generator beside wrk, ab, hey; TLS, start, memory; writes docs/benchmarks*.md
	@scripts/setup build bench
	@$(RELEASE)
	@Benchmarks/run --write
	@Benchmarks/many --write
	@Benchmarks/pooler --write
	@Benchmarks/keyspace --write
	@Benchmarks/load --write
	@Benchmarks/production --write

docs: ## the pages that are printed from the program's tables
	@$(RELEASE)
	@$(BINARY) reference configuration > docs/configuration.md
	@$(BINARY) reference example > headrace.example.yaml
	@$(BINARY) reference metrics > docs/metrics.md
	@$(BINARY) reference monitoring --into Monitoring
