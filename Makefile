PYTHON ?= python3
BIN := .venv/bin
SOURCES := $(wildcard app agents web tables delivery notifications tests scripts bench)
# For `make kafka`: one of Kafka's own tools, for example make kafka CMD="kafka-topics --list".
CMD ?= kafka-topics --list
# For `make chaos`.
ROUNDS ?= 20
SEED ?= 1
# For `make bench`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run worker simulate topics kafka check lint format lock browser prometheus test chaos conformance bench bench-stalled clean

help:           ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup:          ## the virtual environment, from the lock file
	@$(PYTHON) scripts/bootstrap

run: setup      ## the broker, a worker, a simulator and the board: everything, until Ctrl-C
	@exec $(BIN)/python scripts/run.py

worker: setup   ## one more worker beside a running broker: PORT=8087 make worker
	@exec $(BIN)/python -m faust -A app worker -l info

simulate: setup ## keep some teams busy
	@exec $(BIN)/python -m faust -A app simulate

topics: setup   ## create the topics, or check those that exist
	@exec $(BIN)/python -m faust -A app topics

kafka: setup    ## Kafka's own tools: make kafka CMD="kafka-consumer-groups --describe --group realtime-service"
	@exec $(BIN)/python -m app.kafka.embedded tool $(CMD)

check: lint     ## ruff, mypy --strict, the import rules, bandit, unit tests
	@$(BIN)/pytest -q -n auto tests/unit

lint: setup     # check without the tests
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/lint-imports
	@$(BIN)/bandit -q -c pyproject.toml -r $(SOURCES)

format: setup   ## let ruff rewrite the sources
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

lock:           ## resolve requirements/*.in anew (needs uv)
	@scripts/lock

browser: setup  # Chromium for the browser suite
	@scripts/chromium

prometheus:     # Prometheus and promtool for the tests of metrics and rules
	@scripts/prometheus

test: setup browser prometheus ## every suite: unit, Kafka, mail, chaos, browser
	@# Each in a session of its own: what one leaves running would be a second worker of the next one's group.
	@# The first ones mostly wait, so files run beside each other, each process with a broker of its own.
	@for suite in unit kafka mail; do echo "== $$suite"; $(BIN)/pytest -q -n auto --dist loadfile tests/$$suite || exit $$?; done
	@for suite in chaos browser; do echo "== $$suite"; $(BIN)/pytest -q tests/$$suite || exit $$?; done

chaos: setup    ## fault rounds, and what they did to every client: make chaos ROUNDS=200 SEED=7
	@exec $(BIN)/python -m tests.chaos.runner --rounds $(ROUNDS) --seed $(SEED)

conformance: setup ## the Autobahn cases against the socket: docs/conformance.md
	@exec $(BIN)/python -m tests.conformance.runner

bench: setup    ## the benchmarks against the peers: docs/performance.md
	@exec $(BIN)/python -m bench $(ARGS)

bench-%: setup  # one of them, with its options: make bench-flood ARGS="--repeat 1"
	@exec $(BIN)/python -m bench.$* $(ARGS)

bench-stalled: setup # what clients that never read cost the others
	@exec $(BIN)/python -m bench.stalled_readers $(ARGS)

clean:          ## remove the virtual environment and all data
	@if [ -e data/kafka/broker.json ]; then echo "The embedded broker seems to be running: stop make run first (or remove data/kafka/broker.json)." >&2; exit 1; fi
	rm -rf .venv .uv .tools data .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
