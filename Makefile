# nfs-csi. `make demo` and `make test` are the two targets that a newcomer needs; `make` lists all.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOBUILD := CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
GUEST   := $(CURDIR)/test/guest/run --nfsd --timeout 20m
# A guest has one processor: as many run at once as this machine has.
GUESTS  := $(MAKE) --no-print-directory --output-sync=line -j$(shell nproc)
FUZZTIME ?= 60s

.DEFAULT_GOAL := help
.SUFFIXES:

##@ Start here
.PHONY: demo test
demo: ## a cluster, an NFS server, the driver and a StatefulSet that keeps its data; leaves the cluster up
	@test/demo/demo

test: lint unit fuzz test-nfs sanity test-chart e2e-smoke ## everything that CI runs
	@echo "make test: all green"

##@ Build
.PHONY: build kubectl-nfs tools-doc image sbom manifests
build: ## the binary, bin/nfs-csi
	$(GOBUILD) -o bin/nfs-csi ./cmd/nfs-csi

kubectl-nfs: build ## kubectl's plugin, bin/kubectl-nfs: in a directory of PATH it is `kubectl nfs`
	cp bin/nfs-csi bin/kubectl-nfs

tools-doc: ## write the commands in docs/tools.md anew
	go test ./cmd/nfs-csi -run TestToolsDoc -update

image: ## the image as an OCI archive, bin/nfs-csi.tar, without a container engine
	@mkdir -p bin
	$$(tools/build image) -root . -version $(VERSION) -output bin/nfs-csi.tar

sbom: build ## what the binary is built of, bin/nfs-csi.cdx.json (CycloneDX)
	$$(tools/build sbom) -version $(VERSION) bin/nfs-csi > bin/nfs-csi.cdx.json

manifests: ## make deploy/rbac, deploy/storageclass, deploy/manifests, the chart's README and docs/parameters.md anew
	$$(tools/build render)
	go test ./test/docs -run TestParameters -update

##@ The steps of `make test`
.PHONY: lint unit fuzz test-nfs nfsd-contract nfsd-rest sanity guest-itself guest-mount guest-sanity guest-faults test-chart e2e-smoke manifests-check
lint: ## golangci-lint with the layering rules of .golangci.yml
	tools/lint/run
	cd tools/lint && go test -count=1 .
	tools/sbom/vulncheck --if-reachable

unit: ## what needs no server and no kernel, with the race detector for the packages
	go test -race ./pkg/... ./cmd/...
	go test $$(go list ./test/... | grep -v -e /test/conformance -e /test/nfsserver)

fuzz: ## every parser and decoder for FUZZTIME each, a minute (FUZZ=REGEXP: only those); `unit` runs what they found before
	tools/fuzz --each $(FUZZTIME) '$(FUZZ)'

test-nfs: ## the NFS client on go-nfs, on nfs-ganesha and on the kernel's nfsd
	test/nfsserver/deps
	go test -count=1 -short -timeout 25m -parallel 48 ./test/nfsserver/... ./test/conformance/...
	+$(GUESTS) nfsd-contract nfsd-rest

CONTRACT := ^Test(Environment|Volumes)
nfsd-contract:
	go test -count=1 -short -tags guest -timeout 25m -exec "$(GUEST)" -run '$(CONTRACT)' ./test/conformance
nfsd-rest:
	go test -count=1 -short -tags guest -timeout 25m -exec "$(GUEST)" -skip '$(CONTRACT)' ./test/conformance

sanity: ## real mounts, and csi-sanity, under a kernel with NFS
	+$(GUESTS) guest-mount guest-sanity guest-faults guest-itself

guest-itself:
	go test -count=1 -tags guest ./test/guest
guest-mount:
	go test -count=1 -tags guest -timeout 25m -exec "$(GUEST)" ./pkg/mount
guest-sanity:
	test/sanity/run
guest-faults:
	test/faults/run short

test-chart: manifests-check ## the chart, the committed manifests and the packaging tools
	for module in tools/helm tools/image tools/sbom test/images/mkimage test/chart; do (cd $$module && go test -count=1 ./...) || exit 1; done

manifests-check:
	$$(tools/build render) -check

e2e-smoke: ## a few pods in a real cluster
	test/e2e/run smoke

##@ More
.PHONY: e2e e2e-kind test-faults test-long conformance bench vulncheck cluster-up cluster-down clean
e2e: ## every scenario in a real cluster of two nodes
	test/e2e/run all

e2e-kind: ## the same on kind, for machines with a container engine and a registry
	test/e2e/kind/run

test-faults: ## break servers, nodes, controllers and the API server; prints tables of bounds and what was measured
	test/faults/run
	test/e2e/run faults

test-long: ## the NFS client on every server, version, kind of export and fault that test-nfs leaves out
	test/nfsserver/deps
	go test -count=1 -parallel 24 -timeout 60m ./test/nfsserver/... ./test/conformance/...
	go test -count=1 -tags guest -timeout 60m -exec "$(CURDIR)/test/guest/run --nfsd --timeout 60m" ./test/conformance

conformance: ## the upstream External.Storage suite (FOCUS=REGEXP: only those specs)
	test/e2e/conformance/run $(if $(FOCUS),'$(FOCUS)')

bench: ## tables of times and sizes; never fails on one
	test/bench/run

vulncheck: ## compare the program with the Go vulnerability database; needs its server
	tools/sbom/vulncheck

cluster-up: ## a Kubernetes cluster on this machine (NODES=1 or 2)
	test/cluster/cluster up --nodes $(or $(NODES),1)

cluster-down: ## remove it
	test/cluster/cluster down

clean: ## remove what was built in the tree
	rm -rf bin

.PHONY: help
help: ## this list
	@awk '/^##@/ {print "\n" substr($$0, 5)} match($$0, /^[a-z0-9-]+:.*## /) {split($$0, a, ":"); sub(/.*## /, ""); printf "  make %-14s %s\n", a[1], $$0}' $(MAKEFILE_LIST)
