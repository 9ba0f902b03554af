# Everything a developer and CI need. FUZZTIME, TESTFLAGS and BENCHFLAGS may be given: make test TESTFLAGS='-run Ring -v'
GO         ?= go
FUZZTIME   ?= 30s
TESTFLAGS  ?=
BENCHFLAGS ?=

# Distributions put nutcracker and haproxy where only root's PATH looks.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin

# With every tool in place a test that would skip for want of one fails instead. CI takes no less.
tools = if scripts/deps redis-server redis-cli nutcracker; then export RINGWAY_REQUIRE_TOOLS=1; \
	elif [ "$${CI:-}" = true ]; then exit 1; fi

.PHONY: help build test race fuzz bench check deps
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/ringway
	$(GO) build -o bin/ringway ./cmd/ringway

test: ## run the tests, first installing redis-server and nutcracker where they are missing
	@$(tools); set -x; $(GO) test -timeout 10m $(TESTFLAGS) ./...

race: ## run the tests under the race detector (needs a C compiler)
	@$(tools); set -x; CGO_ENABLED=1 $(GO) test -race -timeout 20m $(TESTFLAGS) ./...

fuzz: ## run every fuzz target for FUZZTIME (30s) each
	@GO='$(GO)' scripts/fuzz $(FUZZTIME)

bench: ## measure Ringway beside a bare Redis, nutcracker and HAProxy
	@scripts/deps redis-server nutcracker haproxy || echo 'the bench leaves out what is missing' >&2
	$(GO) run ./cmd/ringway bench $(BENCHFLAGS)

check: ## format, vet, staticcheck, go.mod, tests: what a commit must pass
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted by gofmt: $$files" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	@$(MAKE) --no-print-directory test

deps: ## install what the tests and the bench run: redis-server, nutcracker, HAProxy
	@scripts/deps redis-server redis-cli nutcracker haproxy
