# The commands of the README. `make serve` and `make test` need cargo and a C compiler.
CARGO ?= cargo
.DEFAULT_GOAL := serve
.PHONY: toolchain build serve test lint bench clean

toolchain: ## find or install what compiles guests to wasm32
	@sh guest/toolchain.sh

build: toolchain
	$(CARGO) build --release --locked

serve: build ## bake on the first start, then serve on 127.0.0.1:8080
	target/release/snapback serve

test: toolchain ## every test, in release: proofs are measured in minutes without it
	@sh tests/promtool.sh
	$(CARGO) test --release --locked --workspace

lint: toolchain
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings

bench: toolchain ## measure, and write docs/benchmarks.md
	rm -rf target/criterion
	$(CARGO) bench --locked --package snapback-host
	$(CARGO) run --release --locked --package snapback-host --example report

clean:
	$(CARGO) clean
