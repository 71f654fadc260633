# Needs Go, make and a POSIX shell. `make` alone lists the targets.

GO      ?= go
COUNT   ?= 1
BENCH   ?= .
FUZZ    ?= .
FUZZTIME ?= 30s
PKG     ?= ./...
SOAK    ?= 1h
STEPS   ?= 1000

# A copy of the specification's OpenAPI data, where there is one: what is committed
# of it is compared with that.
PARLEY_TEST_SPEC_DATA ?= $(abspath $(wildcard ../shared/spec/openapi-data))
export PARLEY_TEST_SPEC_DATA

# The protocol kernel: what bench measures.
KERNEL = ./matrix/... ./internal/statetrie/...

# The other server of interop.
SYNAPSE = matrix-synapse==1.163.2

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.8.0

# What the go command and govulncheck print where a server cannot be reached or
# does not serve us. Every other failure, a vulnerability above all, is one.
UNREACHED = Get "https?://|https?://[^ ]*: (403|407|429|5[0-9][0-9]) |status: (403|407|429|5[0-9][0-9])|module lookup disabled

# The same of npm.
NPM_UNREACHED = ENOTFOUND|ECONNREFUSED|ECONNRESET|EAI_AGAIN|ETIMEDOUT|code E(403|407|429|5[0-9][0-9])

.PHONY: help run build test kill e2e-go e2e-js interop race soak check vuln bench fuzz difftest cover clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: build ## build bin/parley and run the server, at http://127.0.0.1:8008 with its data in ./parley-data
	bin/parley serve

build: ## build bin/parley, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/parley ./cmd/parley

test: ## run all tests, on PostgreSQL too where it is installed, again with the costly self-checks, and the scenes of e2e
	@[ -n "$(PARLEY_TEST_SPEC_DATA)" ] || echo "test: responses are checked against the committed extract of the specification: PARLEY_TEST_SPEC_DATA names no copy of it"
	tools/with-postgres $(GO) test ./...
	@dirs=$$(find ./cmd ./internal ./matrix -name '*.go' -exec grep -l '^//go:build .*invariants' {} + 2>/dev/null \
		| sed 's,/[^/]*$$,,' | sort -u); \
	if [ -n "$$dirs" ]; then set -x; $(GO) test -tags invariants $$dirs; fi
	@$(MAKE) --no-print-directory e2e-go e2e-js

e2e-go: build ## play the scenes of e2e/go against bin/parley: E2E='-run pattern -v'
	cd e2e/go && $(GO) test -count 1 -tags goolm $(E2E) ./...

e2e-js: build ## play the scenes of e2e/js against two of bin/parley, where npm is installed and Node 22 is to be had
	@if ! command -v npm >/dev/null; then \
		echo "e2e-js: NOT PLAYED: npm is not installed"; exit 0; \
	fi; \
	if [ ! e2e/js/node_modules/.package-lock.json -nt e2e/js/package-lock.json ]; then \
		echo "npm --prefix e2e/js ci"; \
		npm --prefix e2e/js ci >bin/npm.log 2>&1 || { \
			tail -n 5 bin/npm.log | cut -c 1-300; \
			grep -Eq '$(NPM_UNREACHED)' bin/npm.log || exit 1; \
			echo "e2e-js: NOT PLAYED: npm cannot reach the packages"; exit 0; \
		}; \
	fi; \
	PATH="$(CURDIR)/e2e/js/node_modules/.bin:$$PATH" node -e 'process.exit(Number.parseInt(process.versions.node) < 22 ? 1 : 0)' || { \
		echo "e2e-js: NOT PLAYED: it needs Node 22 or newer, and npm brings none for this machine"; exit 0; \
	}; \
	set -ex; cd e2e/go; \
	$(GO) build -tags goolm -o ../../bin/mautrix-device ./mautrix-device; \
	PARLEY_E2E_MAUTRIX=$(CURDIR)/bin/mautrix-device $(GO) run ./with-parley ../../bin/parley npm --prefix ../js --silent test -- $(E2E_JS)

interop: build ## federate bin/parley with Synapse, installed with pip where it is to be had: INTEROP='-run pattern -v'
	@mkdir -p bin/interop; venv=$(CURDIR)/bin/interop/venv; \
	if ! "$$venv/bin/python" -c 'import synapse' 2>/dev/null; then \
		echo "interop: installing $(SYNAPSE)"; \
		{ python3 -m venv "$$venv" && "$$venv/bin/pip" install --quiet '$(SYNAPSE)'; } >bin/interop/install.log 2>&1 || { \
			tail -n 5 bin/interop/install.log | cut -c 1-300; \
			echo "interop: NOT PLAYED: Synapse cannot be installed here; it needs python3 (3.10 or newer) with venv, and pip"; exit 0; \
		}; \
	fi; \
	set -ex; cd e2e/interop; \
	PARLEY_INTEROP_BINARY=$(CURDIR)/bin/parley PARLEY_INTEROP_PYTHON="$$venv/bin/python" PARLEY_INTEROP_DIR=$(CURDIR)/bin/interop/run \
		$(GO) test -count 1 -timeout 30m $(INTEROP) ./...

kill: ## kill a server under load 100 times, 30 times with PostgreSQL, and let each write fail at each point
	PARLEY_TEST_KILLS=full tools/with-postgres $(GO) test -count=1 -timeout 60m -v -run 'TestKill|TestFaults' ./cmd/parley ./internal/killtest

race: ## run all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./...

soak: ## simulate people and their clients from new seeds, for SOAK=1h, STEPS=1000 each, with one server and with several at once; a failure prints its seed
	@tools/with-postgres $(GO) test -count 1 -v -timeout 0 -run 'Law$$' ./internal/simtest -sim.for $(SOAK) -sim.steps $(STEPS) & one=$$!; \
	$(GO) test -count 1 -v -timeout 0 -run LawTogether ./internal/simtest -sim.for $(SOAK) -sim.steps $(STEPS); several=$$?; \
	wait $$one && exit $$several

check: ## format, vet, staticcheck, module files, import and other laws, vulnerabilities
	@echo "gofmt -l ."; \
	files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) || exit 1; \
	if [ -n "$$files" ]; then echo "not formatted:"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags invariants ./...
	@if [ -f difftest/go.mod ]; then set -ex; cd difftest; $(GO) vet ./...; fi
	cd e2e/go && $(GO) vet -tags goolm ./...
	cd e2e/interop && $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(STATICCHECK) -tags invariants ./...
	$(GO) mod tidy -diff
	$(GO) mod verify
	$(GO) test ./internal/lint
	@$(MAKE) --no-print-directory vuln

vuln: ## look for known vulnerabilities in what is called, if their database can be reached
	@mkdir -p bin; \
	unreached() { \
		if grep -Eq '$(UNREACHED)' bin/vuln.log; then \
			echo "vuln: NOT CHECKED for known vulnerabilities: $$1 could not be reached"; exit 0; \
		fi; \
		echo "vuln: $$2"; exit 1; \
	}; \
	echo "govulncheck ./..."; \
	GOBIN="$(CURDIR)/bin" $(GO) install $(GOVULNCHECK) 2>bin/vuln.log || { \
		cat bin/vuln.log; unreached "the source of govulncheck" "building govulncheck failed"; }; \
	bin/govulncheck ./... >bin/vuln.log 2>&1; code=$$?; \
	cat bin/vuln.log; \
	case $$code in \
	0) ;; \
	3) echo "vuln: found vulnerabilities in what is called"; exit 1 ;; \
	*) grep -q 'fetching vulnerabilities' bin/vuln.log || : >bin/vuln.log; \
	   unreached "the vulnerability database" "govulncheck failed with status $$code" ;; \
	esac

bench: ## benchmark the kernel: BENCH=pattern COUNT=n
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(KERNEL)

fuzz: ## fuzz each decoder for FUZZTIME: PKG=./matrix/id FUZZ=pattern FUZZTIME=30s
	@pkgs=$$($(GO) list $(PKG)) || exit 1; \
	for pkg in $$pkgs; do \
		targets=$$($(GO) test -list '^Fuzz' $$pkg) || exit 1; \
		for target in $$(echo "$$targets" | grep '^Fuzz' | grep -E '$(FUZZ)'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

difftest: ## compare the kernel with other implementations (a module of its own)
	cd difftest && $(GO) test -timeout 60m ./...

cover: ## say what the tests reach; bin/cover.html shows the lines
	@mkdir -p bin
	$(GO) test -coverprofile bin/cover.out -coverpkg ./... ./...
	@$(GO) tool cover -html bin/cover.out -o bin/cover.html
	@$(GO) tool cover -func bin/cover.out | tail -n 1

clean: ## remove what make built
	rm -rf bin
