# Ringway. "make help" lists the targets.
export GO    ?= go
FUZZTIME     ?= 30s
TEST_TIMEOUT ?= 15m
PKG          ?= ./...

# Distributions install nutcracker and haproxy where only root's PATH looks.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin

# Once every tool is installed, a test that skips for want of one fails. Without them the CI fails at once.
tools = if scripts/deps; then export RINGWAY_REQUIRE_TOOLS=1; elif [ "$${CI:-}" = true ]; then exit 1; fi
# Without cmd/ringway's profile: with it, every package below is compiled a second time, which tests don't need.
test race tls fuzz faults soak ha frameworks page check: export GOFLAGS += -pgo=off
.PHONY: help build test race tls fuzz faults soak bench ha frameworks page check conformance deps

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/ringway
	$(GO) build -o bin/ringway ./cmd/ringway

test: ## run the tests; first install what they need, if possible
	@$(tools); $(GO) test -timeout $(TEST_TIMEOUT) $(PKG)

race: ## run the tests with the race detector (needs a C compiler)
	@$(tools); CGO_ENABLED=1 $(GO) test -race -timeout $(TEST_TIMEOUT) $(PKG)

tls: ## run the tests of package session with clients that speak TLS; SHORT=-short leaves out the long ones
	@$(tools); RINGWAY_TLS=on $(GO) test -timeout $(TEST_TIMEOUT) $(SHORT) ./session

fuzz: ## run every fuzz target for FUZZTIME (30s) each
	@scripts/fuzz $(FUZZTIME) $(PKG)

faults: ## every request with every kind of reply cut at every byte, and random states (20 minutes)
	RINGWAY_FAULTS=1 RINGWAY_LONG=1 $(GO) test -timeout 2h -v -run 'EveryReceiver|RandomStates' ./session
	RINGWAY_LONG=1 $(GO) test -timeout 2h -run Interleavings ./pool

soak: ## all kinds of load and faults at once, with the race detector, for SOAKTIME (10m)
	@$(tools); RINGWAY_SOAK=$(or $(SOAKTIME),10m) CGO_ENABLED=1 $(GO) test -race -timeout 3h -v -run TestSoak ./internal/hatest

bench: ## measure Ringway beside other proxies (under 10 minutes)
	$(GO) run ./cmd/ringway bench

ha: ## the long tests of high availability, each load for HATIME (1m); RUN=NAME picks some
	@$(tools); RINGWAY_HA=$(or $(HATIME),1m) $(GO) test -timeout 2h -v -run '$(RUN)' ./internal/hatest

frameworks: ## run job queues, caches and clients of other languages; RUN=NAME picks some
	@cache=$${XDG_CACHE_HOME:-$$HOME/.cache}/ringway-frameworks; scripts/deps-frameworks "$$cache" && \
	RINGWAY_FRAMEWORKS=$$cache $(GO) test -timeout 2h -v -run 'Frameworks/$(RUN)' ./internal/frameworks

page: ## try the operators' page in Chromium; RINGWAY_SCREENSHOTS=DIR keeps pictures of it
	RINGWAY_PAGE=1 $(GO) test -v -run Browser ./admin

check: ## what must hold before a commit: format, vet, staticcheck, go.mod, tests
	@files=$$(gofmt -l .); test -z "$$files" || { echo "run gofmt -w on: $$files"; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	@$(MAKE) --no-print-directory test

conformance: ## run Redis's own Tcl suite through Ringway: make conformance SUITE=DIR-OF-A-REDIS-CHECKOUT
	scripts/conformance $(SUITE)

deps: ## install redis-server and nutcracker for the tests
	@scripts/deps
