# The chapters in JupyterLab, for a server of a laboratory or a course:
#
#   docker build -t handpose-book .
#   docker run --rm -p 8888:8888 -v handpose:/volume handpose-book
#
# The volume keeps data, progress and generated files. Other commands work as in a checkout:
#
#   docker run --rm handpose-book make test
#
# SECURITY.md shows the options with which submissions are graded in it.
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 \
    HANDPOSE_DATA=/volume/data \
    HANDPOSE_BUILD=/volume/build

RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home reader \
    && install --directory --owner=reader /book /volume
USER reader
WORKDIR /book

# The environment first: a changed chapter does not install it again. Each package is checked by its
# hash, apart from the CPU build of torch: the default one for Linux brings several GB of CUDA libraries.
COPY --chown=reader Makefile pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY --chown=reader requirements requirements/
COPY --chown=reader handpose_lib/__init__.py handpose_lib/
COPY --chown=reader pipeline/__init__.py pipeline/environment.py pipeline/
RUN make .venv/.book CPU=1
COPY --chown=reader . .

VOLUME /volume
EXPOSE 8888
CMD [".venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "book"]
