# syntax=docker/dockerfile:1

# === Build: needs a C compiler for the TLS and database libraries, which the image of Rust has.
FROM rust:1.94-bookworm AS build
WORKDIR /src
# Named by `/version`; the sources come without their history.
ARG BUILD_COMMIT=unknown
ARG SOURCE_DATE_EPOCH
ENV BUILD_COMMIT=${BUILD_COMMIT}
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    scripts/build-release /out/usr/local/bin/llm-orchestrator \
    && install -d -m 0700 -o 65532 -g 65532 /out/data

# === Run: the C library and nothing else, no shell, no root.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="LLM Orchestrator" \
      org.opencontainers.image.description="One address in front of every large-language-model provider" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/ /
ENV APP_HOST=0.0.0.0 \
    APP_PORT=8000 \
    LOG_FORMAT=json \
    DATABASE_URL=sqlite:///data/llm-orchestrator.db \
    ORCHESTRATOR_AUTH_MASTER_KEY_FILE=/data/master.key
WORKDIR /data
VOLUME /data
EXPOSE 8000
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=6s --start-period=10s CMD ["/usr/local/bin/llm-orchestrator", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/llm-orchestrator"]
