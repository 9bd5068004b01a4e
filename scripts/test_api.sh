#!/bin/sh
# Tries the API of a running gateway: scripts/test_api.sh --url http://127.0.0.1:8000 --api-key … --admin-key … --test all
set -eu
exec "$(dirname "$0")/start.sh" api-test "$@"
