# Isthmus. As root on Debian or Ubuntu with Go; see README.md.

GO ?= go
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: demo test build dependencies generate check bench-datapath bench-control bench-private bench-http soak fuzz clean

demo: dependencies build
	demo/run

# make example-privatelink, and the others of the folder.
example-%: dependencies build
	examples/run $*

test: dependencies build
	@scripts/install-dependencies test
	@test $$(id -u) = 0 || { echo 'the tests make namespaces: run them as root' >&2; exit 1; }
	$(GO) test -race -timeout 15m ./...
	$(GO) test -run '^TestAllocations$$' ./internal/http1 ./internal/http2 ./internal/gateway ./internal/alb # the race detector makes pools forgetful

# A million requests through gateway, link and ALB, while everything changes.
soak: dependencies
	@scripts/install-dependencies test
	ISTHMUS_SOAK=1000000 $(GO) test ./test/e2e -run '^TestSoak$$' -count 1 -timeout 3h -v

# Every fuzz target for FUZZ (30s by default), which is to find nothing.
fuzz:
	scripts/fuzz

build:
	@$(GO) run ./scripts/poller-order bin/overlay
	CGO_ENABLED=0 $(GO) build -overlay bin/overlay/overlay.json -trimpath -o bin/isthmus ./cmd/isthmus

dependencies:
	@scripts/install-dependencies run

generate:
	@scripts/install-dependencies generate
	$(GO) generate ./...

# What a change must pass before its tests are run.
check:
	scripts/check

bench-datapath bench-control bench-private bench-http: bench-%: dependencies build
	@scripts/install-dependencies bench
	$(GO) run ./bench/$*

clean:
	rm -rf bin
