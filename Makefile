# `make demo` and `make test` need a Rust toolchain and nothing else; see README.md.
SHELL := /bin/bash
.PHONY: help demo up down test test-unit test-integration test-faults test-sdks test-runbooks soak mutants bench lint fmt docs services

help:            ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

demo:            ## take a recording through the whole stack (AUDIO=path, PROVIDERS=simulator)
	@PROVIDERS="$(PROVIDERS)" deploy/local/stack.sh demo "$(AUDIO)"

up:              ## build and start the whole stack; addresses in var/dev.env
	@deploy/local/stack.sh up

down:            ## stop everything this clone started and delete its data
	@deploy/local/stack.sh down

test:            ## every test; prints counts
	@tests/run.sh all

test-unit:       ## tests that need no server
	@tests/run.sh unit

test-integration: ## tests of the whole on real Postgres and RabbitMQ (FULL=1: at the scale of docs/faults.md)
	@SCRYON_FAULTS_FULL=$(FULL) tests/run.sh integration

test-faults:     ## tests that kill programs and stop servers (FULL=1: hours, at the scale of docs/faults.md)
	@SCRYON_FAULTS_FULL=$(FULL) tests/run.sh faults

test-sdks:       ## the providers' own Python clients against the simulator
	@tests/run.sh sdks

test-runbooks:   ## every operators' page executed as printed: trouble, remedy, seconds
	@tests/run.sh runbooks

soak:            ## everything at once for MINUTES=10, faults chosen by SEED=1, then the checker
	@SOAK_MINUTES=$(or $(MINUTES),10) SOAK_SEED=$(or $(SEED),1) tests/run.sh soak

mutants:         ## plant known bugs one at a time; each must turn its test red
	@tests/mutants/run.sh

bench:           ## speed beside the peer and the database's own limit (JSON=file for figures)
	@tests/bench/run.sh $(if $(JSON),--json "$(JSON)")

lint:            ## formatting, clippy, crate direction, sizes
	@tests/lint.sh

fmt:             ## format
	@cargo fmt --all

docs:            ## write docs/configuration.md and docs/metrics.md from their registries
	@cargo run --quiet --bin scryon -- docs docs

services:        ## Postgres and RabbitMQ for tests
	@deploy/local/services.sh up main
