# The offline side: trains, prunes, exports. The service's image has none of it.
#
#   docker build --file docker/pruning.Dockerfile --tag polyprune:pruning .
#   docker run --rm --gpus all --user "$(id -u)" -v "$PWD:/work" polyprune:pruning run my-recipe.toml
#
# /work holds the recipe, the data that it names, and the runs that come out. Give BASE with a digest to pin it.
# torch comes with CUDA; --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu takes the one without.
ARG BASE=python:3.12-slim

FROM ${BASE} AS install
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
RUN python3 -m venv /venv
COPY pyproject.toml README.md ./
COPY app app
COPY pruning pruning
RUN /venv/bin/pip install --no-cache-dir ".[pruning,container]"

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home polyprune && install --directory --owner=polyprune /work
COPY --from=install /venv /venv
# The processes of any user may cache there what they compile.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 10001
WORKDIR /work
ENTRYPOINT ["dumb-init", "--", "python3", "-m", "pruning"]
CMD ["--help"]
