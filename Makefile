.PHONY: build test demo clean
# Names for the commands that README gives; nothing is done here that they don't do.
build: ; cargo build --release --locked
test: ; tests/run
demo: ; examples/demo
clean: ; tests/env/down && cargo clean
