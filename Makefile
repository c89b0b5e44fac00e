.PHONY: check ci bench fuzz demo

check: ; bash .ci/run check
ci: ; bash .ci/run
bench: ; go test -run '^$$' -bench . ./bench
fuzz: ; bash .ci/fuzz 1m
demo: ; go run ./examples/picture
