# syntax=docker/dockerfile:1
# One image for every role: `docker run syncline worker`, `... api`, `... migrate`.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Queries were checked by `cargo xtask prepare`; no database is needed here. The caches outlive the build, so the
# program is taken out of the target folder in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    SQLX_OFFLINE=true cargo build --locked --profile dist --bin syncline \
    && install -D target/dist/syncline /out/syncline

FROM debian:bookworm-slim
# The platforms' certificates are checked against the system's list.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin syncline
COPY --from=build /out/syncline /usr/local/bin/syncline
COPY connectors /usr/share/syncline/connectors
# The program carries its migrations; these are for reading and for tools.
COPY migrations /usr/share/syncline/migrations
ENV SYNCLINE_CONNECTORS_DIR=/usr/share/syncline/connectors \
    SYNCLINE_LISTEN=0.0.0.0:8080 \
    SYNCLINE_LOG=json
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["syncline"]
CMD ["--help"]
