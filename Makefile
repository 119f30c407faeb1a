# make book    build the book into _build/html        make serve   build it and serve it on this machine
# make test    run every check                        make labs    run the notebooks anew and store what they print
# make clean   remove what these made (the environment in .venv stays)
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
READY := .venv/ready

.PHONY: book serve test labs clean

book: $(READY)
	@$(BIN)/jupyter-book build -W -n --keep-going .
	@echo "Open _build/html/index.html in a browser, or run: make serve"

serve: book
	@$(BIN)/python book/serve.py _build/html $(PORT)

test: $(READY)
	@$(BIN)/python book/check.py

labs: $(READY)
	@$(BIN)/python book/labs.py

clean:
	rm -rf _build build .pytest_cache .ruff_cache .hypothesis lib/*.egg-info
	find lib book tests -name __pycache__ -prune -exec rm -rf {} +

# One environment for every job. It is made anew only when the pins, the package's metadata or its version change.
$(READY): requirements.txt pyproject.toml lib/gradpress/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit("The book needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Making the environment in .venv (a minute or two)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
