# make image               with CUDA's libraries (the driver comes from the container runtime): about 4.1 GB
# make image TORCH=cpu     CPU only: about 830 MB
# make image TORCH=none    the theory, reports and launching only: about 240 MB
#
# docker run --rm --gpus all --read-only --user $(id -u):$(id -g) -v $PWD/data:/app/data:ro -v $PWD/logs:/app/logs transfergrid sweep experiments/cifar10.yaml
#
# What changes seldom comes first: a change of the sources builds neither libtorch's folder nor the dependencies again.
FROM rust:1.95-bookworm AS build
# Debian keeps one version of a package; the release pins it.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
# The same path in both stages: the program remembers where its libtorch lies.
WORKDIR /opt/transfergrid
ARG TORCH=cuda
COPY scripts/libtorch.sh scripts/
RUN if [ "$TORCH" != none ]; then TORCH=$TORCH scripts/libtorch.sh; fi
# The dependencies by themselves.
COPY Cargo.toml Cargo.lock ./
COPY src/base/Cargo.toml src/base/
COPY src/theory/Cargo.toml src/theory/
COPY src/native src/native
COPY .cargo .cargo
RUN mkdir -p benches && echo 'fn main() {}' > src/main.rs && cp src/main.rs benches/ridge.rs \
    && touch src/lib.rs src/base/mod.rs src/theory/mod.rs \
    && if [ "$TORCH" = none ]; then set -- --no-default-features; fi \
    && cargo build --release --locked "$@" && rm -rf src
COPY build.rs ./
COPY data/digits.bin.gz data/
COPY experiments experiments
COPY src src
COPY python python
ARG COMMIT=unknown
RUN touch build.rs src/main.rs src/lib.rs src/base/mod.rs src/theory/mod.rs \
    && if [ "$TORCH" = none ]; then set -- --no-default-features; fi \
    && TRANSFERGRID_COMMIT=$COMMIT cargo build --release --locked "$@" \
    && mkdir -p /out/usr/local/bin && cp target/release/transfergrid /out/usr/local/bin/
# Only what runs: libtorch's libraries, CUDA's beside them, and the version that `doctor` reads. The wheel has its CUDA part in any case.
RUN if [ "$TORCH" != none ]; then \
        site=$(dirname "$(readlink -f .venv/libtorch)") && mkdir -p "/out$site/torch" \
        && cp -a "$site/torch/lib" "$site/torch/version.py" "/out$site/torch/" \
        && cp -a "$site/nvidia" "/out$site/" \
        && cp -a .venv/libtorch "/out$PWD/.venv/libtorch"; \
    fi \
    && if [ "$TORCH" = cpu ]; then rm "/out$site/torch/lib/"libtorch_cuda*.so "/out$site/torch/lib/libtorch_nvshmem.so"; fi

FROM debian:bookworm-slim
# Anyone's user id works: the program writes under the mounted data/ and logs/ only.
RUN useradd --uid 1000 --no-log-init --create-home transfergrid && install -d -o transfergrid /app/data /app/logs
COPY --from=build /out /
COPY experiments /app/experiments
WORKDIR /app
USER 1000
# Read by the NVIDIA container runtime.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="transfergrid" \
      org.opencontainers.image.description="How strongly should a source model be regularised when the goal is the target task?" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
# Exec form: the program is process 1 and gets the signals.
ENTRYPOINT ["transfergrid"]
CMD ["--help"]
