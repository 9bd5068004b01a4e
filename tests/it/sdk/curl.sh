# The public and the admin API by curl alone.
set -euo pipefail

# same FILTER EXPECTED, JSON on standard input: what the filter finds is what is expected.
same() {
  local body found
  body=$(cat)
  found=$(jq -r "$1" <<<"$body")
  [ "$found" = "$2" ] || { echo "$1 is '$found', not '$2', in: $body"; exit 1; }
}
user=(-H "Authorization: Bearer $OPENAI_API_KEY")
admin=(-H "Authorization: Bearer $ADMIN_KEY")
json=(-H "Content-Type: application/json")
chat=$OPENAI_BASE_URL/chat/completions
hello='"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "Hello!"}]'
said=.choices[0].message.content

curl -fsS "$GATEWAY_URL/health" | same '.status + " " + .service' 'healthy llm-orchestrator'
curl -fsS "$GATEWAY_URL/healthz" | same .status healthy

curl -fsS -X POST "$chat" "${json[@]}" "${user[@]}" -d "{$hello}" | same $said 'Hello from openai-primary'
curl -fsS -X POST "$chat" "${json[@]}" -H "X-API-Key: $OPENAI_API_KEY" -d "{$hello}" | same .object chat.completion
curl -fsS -X POST "$chat" "${json[@]}" "${user[@]}" \
  -d "{$hello, \"temperature\": 1.0, \"top_p\": 1.0, \"n\": 1, \"stream\": false, \"max_tokens\": null,
      \"presence_penalty\": 0, \"frequency_penalty\": 0, \"provider\": \"openai\",
      \"fallback_providers\": [\"anthropic\"], \"timeout\": 60, \"retry_count\": 3}" |
  same '.provider + " " + (.latency_ms | type)' 'openai-primary number'
curl -fsS -X POST "$chat" "${json[@]}" "${user[@]}" \
  -d "{$hello, \"provider\": \"openai-backup\", \"fallback_providers\": [\"openai-primary\"]}" |
  same $said 'Hello from openai-backup'

stream=$(curl -fsS -X POST "$chat" "${json[@]}" "${user[@]}" -d "{$hello, \"stream\": true}" --no-buffer)
[ "$(tail -n 1 <<<"$(grep . <<<"$stream")")" = 'data: [DONE]' ] || { echo "no end: $stream"; exit 1; }
sed -n 's/^data: {/{/p' <<<"$stream" | jq -rs 'map(.choices[0].delta.content // "") | add | {text: .}' |
  same .text 'Hello from openai-primary'

curl -fsS "$OPENAI_BASE_URL/models" "${user[@]}" |
  same '.object + " " + (.data | map(select(.id == "openai-primary:gpt-3.5-turbo")) | .[0].owned_by)' 'list openai-primary'
curl -fsS "$OPENAI_BASE_URL/models/openai:gpt-3.5-turbo" "${user[@]}" | same .object model

wrong=$(curl -sS -w '\n%{http_code}' -X POST "$chat" "${json[@]}" -d "{$hello}")
[ "$(tail -n 1 <<<"$wrong")" = 401 ] || { echo "not 401: $wrong"; exit 1; }
head -n 1 <<<"$wrong" | same '.error.code + " " + (.request_id == .error.details.request_id | tostring)' 'unauthorized true'

curl -fsS "$GATEWAY_URL/admin/providers" "${admin[@]}" | same '.[0].name' openai-primary
id=$(curl -fsS -X POST "$GATEWAY_URL/admin/providers" "${admin[@]}" "${json[@]}" -d '{
    "name": "openai-third", "type": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-0123456789abcdef",
    "enabled": true, "priority": 50, "weight": 100, "timeout": 60}' | jq .id)
curl -fsS -X PATCH "$GATEWAY_URL/admin/providers/$id" "${admin[@]}" "${json[@]}" -d '{"enabled": false}' |
  same '"\(.enabled) \(.name) \(.api_key | contains("0123456789"))"' 'false openai-third false'
curl -fsS -X DELETE "$GATEWAY_URL/admin/providers/$id" "${admin[@]}"
curl -fsS "$GATEWAY_URL/admin/providers" -H "X-Admin-Key: $ADMIN_KEY" | same 'map(select(.name == "openai-third")) | length' 0

curl -fsS "$GATEWAY_URL/admin/health" "${admin[@]}" | same '.database_status + " " + (.providers | length | tostring)' 'healthy 6'
sleep 0.5
curl -fsS "$GATEWAY_URL/admin/stats?hours=24" "${admin[@]}" | same .successful_requests 5
curl -fsS "$GATEWAY_URL/admin/logs?page=1&page_size=50&status_code=200" "${admin[@]}" |
  same '"\(.total) \(.page) \(.page_size) \(.logs[0].status_code)"' '5 1 50 200'
echo 'curl: as it should be'
