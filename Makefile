# ebb: every task of the project is a target here. `make help` lists them.

# Where the shell and Go both look for home, also where no HOME is set (a bare container).
ifeq ($(HOME),)
export HOME := $(shell eval echo "~$$(id -un)")
endif
CACHE := $(shell scripts/cache.sh)

export CGO_ENABLED := 0
MODEL   := $(CACHE)/models/SmolLM2-135M-Instruct.Q4_1.gguf
VERSION := $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)
LDFLAGS := -X main.version=$(VERSION)

# For `make run`.
export PROMPT ?= Why is the sky blue? Answer in three sentences.
MEMORY     ?= 2MiB
NEW_TOKENS ?= 64

# For make libs: what the libraries use. vulkan, cuda or cuda-ext (older cards) on Linux x86_64.
GPU ?=

# For make gpu: the device, the first GPU if it is not named; the model; and a pattern for which tests.
DEVICE    ?=
GPU_MODEL ?= $(MODEL)
export EBB_GPU_TESTS ?=

# For the tests. The packages run one after the other: ggml's threads spin, and two test binaries on the same cores
# slow each other down by far more than half. -count=1: whether a test runs, and how, depends on libraries and drivers
# that Go's cache of test results cannot see.
PKG        ?= ./...
# The module in bench has tests of its own, for which a PKG in ./bench asks too.
BENCH_PKG  := $(if $(filter ./...,$(PKG)),./...,$(patsubst ./bench/%,./%,$(filter ./bench/%,$(PKG))))
MAIN_PKG   := $(filter-out ./bench/%,$(PKG))
TEST_FLAGS ?= -count=1 -p 1 -timeout 20m
# The first ggml device becomes the software Vulkan driver; and an abort in ggml does not start a debugger.
TEST_ENV := GGML_VK_VISIBLE_DEVICES=0 GGML_NO_BACKTRACE=1
# Packages with goroutines of their own, whose quick tests go through all of them; and tests that are not
# quick, or that are of packages in which only packing weights has goroutines.
RACE_PKG  ?= $(addsuffix /...,$(addprefix ./,$(wildcard kv tier session generate ggml hub trace blockfile conversation))) ./service ./server ./server/wire
RACE_MORE ?= -run 'SlowRestore|Pack' ./kv ./product ./model
FUZZ_TIME ?= 20s
CROSS     := linux/arm64 darwin/arm64 windows/amd64
PLATFORMS ?= linux-x64 linux-arm64 mac-arm64 win-x64
LINT      := go tool -modfile=tools/go.mod golangci-lint
BENCH_LINT := go tool -modfile=../tools/go.mod golangci-lint

# For make bench: the command line, as in ARGS='--workloads decode --peer llama.cpp'.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run build bench libs model models vulkan test test-short test-all test-clients race gpu cover fuzz lint fmt cross dist dist-test generate deps clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: libs model build ## fetch what is missing, build, and answer PROMPT with most of the K/V off the device (MEMORY for K/V on it)
	bin/ebb run -m $(MODEL) --cache offloaded --kv-memory $(MEMORY) --forced-copies --max-new-tokens $(NEW_TOKENS) "$$PROMPT"

build: ## build bin/ebb
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ebb ./cmd/ebb

bench: libs ## measure, also against llama.cpp, and plot: ARGS='-m model.gguf --peer llama.cpp' (without -m: SmolLM2)
	@mkdir -p bin
	@go -C bench build -trimpath -ldflags '$(LDFLAGS)' -o ../bin/bench ./cmd/bench
	@$(if $(filter -m% --model%,$(ARGS)),,$(MAKE) --no-print-directory model)
	@bin/bench $(if $(filter -m% --model%,$(ARGS)),,-m $(MODEL)) $(ARGS)

libs: ## fetch the ggml libraries into the cache folder (24 MB, checked; GPU=cuda adds CUDA, 143 MB)
	@scripts/fetch.sh libs $(GPU)

model: ## fetch SmolLM2-135M-Instruct into the cache folder (93 MB, checked)
	@scripts/fetch.sh model

models: ## fetch Gemma 3 270M and Qwen2.5-Coder 0.5B, which make test-all uses, into the cache folder (744 MB, checked)
	@scripts/fetch.sh models

vulkan: ## install the software Vulkan driver for the tests, where that is possible
	@scripts/vulkan.sh

bin/testreport: FORCE
	@go build -o $@ ./internal/testreport

test: libs model vulkan bin/testreport ## fetch what the tests need, run them all and sum up (PKG=./kv for one; EBB_REQUIRE=all: a skip fails)
	@$(TEST_ENV) bin/testreport $(if $(MAIN_PKG),$(TEST_FLAGS) $(MAIN_PKG)) $(if $(MAIN_PKG),$(if $(BENCH_PKG),--)) $(if $(BENCH_PKG),-C bench $(TEST_FLAGS) $(BENCH_PKG))

test-short: bin/testreport ## run the quick tests, in under a minute: pure packages, the walk, one golden case a policy
	@GGML_VK_VISIBLE_DEVICES= GGML_NO_BACKTRACE=1 bin/testreport -short -count=1 -p 2 -timeout 5m $(PKG)

test-all: export EBB_TEST_ALL := 1
test-all: TEST_FLAGS := -count=1 -p 1 -timeout 120m
test-all: models test ## run the full test matrices, also on real models: takes many times as long as `make test`

test-clients: libs model ## test ebb serve with clients of its APIs in Python and Go, and the page in a browser; fetches them first
	@places=$$(scripts/clients.sh) && cd clients && env $$places EBB_TEST_MODEL='$(MODEL)' $(TEST_ENV) go test $(TEST_FLAGS) ./...

race: export CGO_ENABLED := 1
race: libs model ## run the quick tests of RACE_PKG, and RACE_MORE, under the race detector (needs a C compiler)
	@$(TEST_ENV) go test -race -short $(TEST_FLAGS) $(RACE_PKG)
	@$(if $(RACE_MORE),$(TEST_ENV) go test -race $(TEST_FLAGS) $(RACE_MORE))

gpu: libs model vulkan ## check and measure on a GPU (DEVICE=name), or at small sizes on the software driver; writes bin/gpu.json
	@mkdir -p bin/gpu
	go -C bench build -o ../bin/gpu/gpucheck ./gpucheck
	go test -c -o bin/gpu/ . ./kv ./ggml
	bin/gpu/gpucheck -device '$(DEVICE)' -model $(GPU_MODEL) -out bin/gpu.json bin/gpu/ggml.test bin/gpu/kv.test bin/gpu/ebb.test

cover: libs model ## write the tests' coverage to bin/cover.html
	@mkdir -p bin
	$(TEST_ENV) go test $(TEST_FLAGS) -coverpkg=./... -coverprofile=bin/cover.out $(PKG)
	go tool cover -html=bin/cover.out -o bin/cover.html
	@go tool cover -func=bin/cover.out | tail -1

fuzz: libs model ## run every fuzz test for FUZZ_TIME (20s)
	@$(TEST_ENV) scripts/fuzz.sh $(FUZZ_TIME)

# The linters have go vet's checks, apart from those of assembly.
lint: ## run the linters, and go vet on the assembly
	go vet -asmdecl -framepointer ./...
	$(LINT) run
	cd bench && $(BENCH_LINT) run
	cd clients && $(BENCH_LINT) run

fmt: ## format the code
	$(LINT) fmt
	cd bench && $(BENCH_LINT) fmt
	cd clients && $(BENCH_LINT) fmt

# Without optimisation, which takes half of the time and shows nothing here; and without -trimpath, for which go vet
# would compile each package and the standard library a second time.
cross: export GOFLAGS := '-gcflags=all=-N -l'
cross: ## build for the other platforms, and check that the tests compile there
	@mkdir -p bin
	@set -e; for platform in $(CROSS); do \
		export GOOS=$${platform%/*} GOARCH=$${platform#*/}; echo "cross: $$platform"; \
		go build -ldflags '$(LDFLAGS)' -o bin/ebb-$$GOOS-$$GOARCH ./cmd/ebb; \
		go vet ./...; \
		go -C bench vet ./...; \
	done

dist: ## write an archive for each of PLATFORMS, which runs where it is unpacked, into bin/dist
	@LDFLAGS='$(LDFLAGS)' scripts/dist.sh $(VERSION) $(PLATFORMS)

dist-test: ## check the archive for this machine (Linux x86_64)
	@LDFLAGS='$(LDFLAGS)' scripts/dist.sh $(VERSION) linux-x64
	@scripts/dist_test.sh bin/dist/ebb-$(VERSION)-linux-x64.tar.gz

generate: ## regenerate the assembly of attend and product
	go -C internal/gen run ./attend -pkg attend -out ../../attend/kernel_amd64.s -stubs ../../attend/kernel_amd64.go -frame ../../attend/frame_amd64.go
	go -C internal/gen run ./product -part tables -pkg product -out ../../product/kernel_tables_amd64.s -stubs ../../product/kernel_tables_amd64.go -frame ../../product/frame_amd64.go
	for part in vnni amx avx2 avxvnni; do \
		go -C internal/gen run ./product -part $$part -pkg product -out ../../product/kernel_$${part}_amd64.s -stubs ../../product/kernel_$${part}_amd64.go || exit; \
	done
	go -C internal/gen run ./product -part plain -pkg product -out ../../product/plain_kernel_amd64.s -stubs ../../product/plain_kernel_amd64.go -frame ../../product/plain_frame_amd64.go

deps: ## regenerate deps.txt, the list of modules in the binary
	go test ./internal/deps -run TestDepsFile -update

clean: ## remove what was built (the cache folder stays)
	rm -rf bin

FORCE:
