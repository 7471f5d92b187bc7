# docker build -t transfergrid .                        with CUDA's libraries (the driver comes from the container runtime)
# docker build -t transfergrid --build-arg TORCH=cpu .  much smaller, CPU only
#
# docker run --rm --gpus all --user $(id -u) -v $PWD/data:/app/data -v $PWD/logs:/app/logs transfergrid sweep experiments/cifar10.yaml
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
# The same path in both stages: the program remembers where its libtorch lies.
WORKDIR /opt/transfergrid
ARG TORCH=cuda
COPY scripts scripts
RUN TORCH=$TORCH scripts/libtorch.sh
# The dependencies by themselves, so that a change of the sources does not build them again.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs && cargo build --release --locked && rm -rf src
COPY build.rs ./
COPY data/digits.bin.gz data/
COPY src src
ARG COMMIT=unknown
RUN touch src/main.rs src/lib.rs && TRANSFERGRID_COMMIT=$COMMIT cargo build --release --locked
# Only what runs: libtorch's libraries, CUDA's libraries beside it, and the version that `doctor` reads.
RUN set -eu; site=$(dirname "$(readlink -f .venv/libtorch)"); mkdir -p "/out$site/torch"; \
    cp -a "$site/torch/lib" "$site/torch/version.py" "/out$site/torch/"; \
    cp -a "$site/nvidia" "/out$site/"; \
    cp -a .venv/libtorch "/out$PWD/.venv/libtorch"

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="transfergrid" \
      org.opencontainers.image.description="How strongly should a source model be regularised when the goal is the target task?" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out /
COPY --from=build /opt/transfergrid/target/release/transfergrid /usr/local/bin/transfergrid
COPY experiments /app/experiments
WORKDIR /app
# Anyone's user id works: the program writes under the mounted data/ and logs/ only.
RUN useradd --create-home --uid 1000 transfergrid && mkdir -p data logs && chown transfergrid data logs
USER transfergrid
# Read by the NVIDIA container runtime.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Exec form: the program is process 1 and gets the signals.
ENTRYPOINT ["transfergrid"]
CMD ["--help"]
