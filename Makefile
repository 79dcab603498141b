# Commands for this repository. `make serve` and `make test` need cargo and a C compiler.
CARGO ?= cargo
.DEFAULT_GOAL := serve
.PHONY: toolchain build serve test lint bench flags alternatives deb clean

toolchain: ## find or install the toolchain that compiles guests to wasm32
	@sh guest/toolchain.sh

build: toolchain ## the program; the guests, which it embeds, are compiled on the way
	@echo "snapback: building with $$($(CARGO) --version); the first build compiles some 230 crates and the guests, which takes minutes"
	@begun=$$(date +%s); $(CARGO) build --release --locked && echo "snapback: built in $$(($$(date +%s) - begun)) s: target/release/snapback"

serve: build ## bake at the first start, then serve on 127.0.0.1:8080
	target/release/snapback serve

test: toolchain ## run every test, in release mode: proofs take minutes without it
	@sh tests/promtool.sh
	@sh tests/snarkjs.sh
	@sh tests/browser.sh
	@sh tests/openapi.sh
	@sh tests/html_pages.sh
	$(CARGO) test --release --locked --workspace

lint: toolchain
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	@sh tests/one_build.sh
	@sh tests/supply_chain.sh
	@sh tests/systemd_unit.sh

bench: toolchain ## run the benches, and write docs/benchmarks.md
	rm -rf target/criterion
	@sh tests/snarkjs.sh
	[ -d target/groth16/sha256 ] || sh tests/fixtures/groth16/make.sh target/groth16 sha256
	SNAPBACK_GUEST_LIBRARY=unmodified $(CARGO) bench --locked --package snapback-host --bench scaling
	-@sh benches/flags.sh
	$(CARGO) bench --locked --package snapback-host
	$(CARGO) run --release --locked --package snapback-host --example report

flags: toolchain ## compare settings of the compiler for guests, and write docs/guest-builds.md
	@sh benches/flags.sh
	$(CARGO) bench --locked --package snapback-host --bench flags
	$(CARGO) run --release --locked --package snapback-host --example report -- flags

alternatives: toolchain ## compare with what others do, and write the figures of docs/alternatives.md: a quarter of an hour
	$(CARGO) bench --locked --package snapback-host --bench alternatives -- measure
	$(CARGO) run --release --locked --package snapback-host --example report -- alternatives

deb: build ## the package for Debian, in target/debian; cargo-deb is installed into target/tools, if it is missing
	@SNAPBACK_REQUIRE_CARGO_DEB=1 sh host/packaging/build.sh

clean:
	$(CARGO) clean
