#!/bin/sh
# Starts the gateway on Linux and macOS: builds it if need be, reads .env if there is one, and serves until Ctrl-C.
# What is given here is given to the program: scripts/start.sh check-config
set -eu
cd "$(dirname "$0")/.."

program=${LLM_ORCHESTRATOR:-target/release/llm-orchestrator}
if [ ! -x "$program" ]; then
  if ! command -v cargo >/dev/null; then
    echo "There is no $program, and no cargo to build it with: install Rust from https://rustup.rs," >&2
    echo "or name the program in LLM_ORCHESTRATOR." >&2
    exit 1
  fi
  cargo build --release --locked --bin llm-orchestrator
fi

if [ -f .env ]; then
  # Lines such as NAME=value, without anything being run or expanded. What is set already wins.
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      '' | '#'* | [!A-Za-z_]*) continue ;;
      *=*) ;;
      *) continue ;;
    esac
    name=${line%%=*}
    case $name in *[!A-Za-z0-9_]*) continue ;; esac
    if eval "[ -z \"\${$name+set}\" ]"; then
      # shellcheck disable=SC2163 # The line is NAME=value.
      export "$line"
    fi
  done <.env
fi

exec "$program" "$@"
