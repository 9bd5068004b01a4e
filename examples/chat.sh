#!/usr/bin/env bash
# Chats through the gateway with curl.
#
#   OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=sk-... ./chat.sh [MODEL]
set -euo pipefail

model=${1:-gpt-4o}

ask() { # fields of the request besides model and messages
  curl -fsS --no-buffer "$OPENAI_BASE_URL/chat/completions" \
    -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
    -d "{\"model\": \"$model\", \"messages\": [{\"role\": \"user\", \"content\": \"Say hello in one sentence.\"}]$1}"
}

echo "A whole answer:"
ask ''
echo
echo "Word by word, by whoever of the two can:"
ask ', "stream": true, "provider": "openai", "fallback_providers": ["anthropic"]'
