#!/bin/sh
# An agent that goes wrong in the way $FAULT names. It pays no attention to its arguments.
init='{"type":"system","subtype":"init","session_id":"theirs","model":"m"}'
result='{"type":"result","subtype":"success","is_error":false,"result":"fine"}'
say() { printf '%s\n' "$1"; }

case "$1" in --help) exit 0 ;; esac

case "$FAULT" in
exit-0) exit 0 ;;
exit-1) echo 'something is wrong' >&2; exit 1 ;;
exit-127) exit 127 ;;
killed) kill -KILL $$ ;;
segfault) kill -SEGV $$ ;;
exit-after-init) say "$init"; exit 0 ;;
never-starts) exec sleep 30 ;;
half-a-line-then-nothing) printf '{"type":'; exec sleep 30 ;;
silent) say "$init"; exec sleep 30 ;;
ignores-term) trap '' TERM; say "$init"; exec sleep 30 ;;
closes-stdout) say "$init"; exec sleep 30 >&- 2>&- ;;
endless) say "$init"; exec yes '{"type":"tomorrow"}' ;;
dribble) say "$init"; while :; do say '{"type":"keep_alive"}'; sleep 0.1; done ;;
giant-line) say "$init"; tr '\0' x </dev/zero | head -c 1073741824; exec sleep 30 ;;
giant-stderr) head -c 100000000 /dev/zero >&2; say "$init"; say "$result" ;;
cut) say "$init"; printf '{"type":"result","subtype":"succ' ;;
garbage) say 'Segmentation violation'; say '[1,2]'; exit 0 ;;
garbage-then-fine) say 'npm notice'; say ''; say "$init"; say "$result" ;;
invalid-utf8) say "$init"; printf '{"type":"assistant","message":{"content":[{"type":"text","text":"\377\376"}]}}\n'; say "$result" ;;
unknown) say "$init"; say '{"type":"tomorrow","x":[{}]}'; say '{"type":"system"}'; say '{"type":7}'; say "$result" ;;
odd-result) say "$init"; say '{"type":"result","subtype":[],"modelUsage":3}' ;;
two-results) say "$init"; say "$result"; say '{"type":"result","subtype":"error_during_execution","is_error":true}'; exit 1 ;;
hang-after-result) say "$init"; say "$result"; exec sleep 30 ;;
ignores-term-after-result) trap '' TERM; say "$init"; say "$result"; exec sleep 30 ;;
fails-after-result) say "$init"; say "$result"; exit 1 ;;
leaves-somebody-behind) say "$init"; say "$result"; sleep 3 & exit 0 ;;
asks-for-the-unknown)
    say "$init"
    say '{"type":"control_request","request_id":"r7","request":{"subtype":"tomorrow"}}'
    while read -r line; do
        case "$line" in *'"error"'*'"r7"'* | *'"r7"'*'"error"'*) say "$result"; exit 0 ;; esac
    done ;;
asks-for-the-denied)
    say "$init"
    say '{"type":"control_request","request_id":"r8","request":{"subtype":"can_use_tool","tool_name":"WebFetch","input":{"url":"http://example.com"}}}'
    while read -r line; do
        case "$line" in *'"behavior":"deny"'*) say '{"type":"result","subtype":"success","permission_denials":[{"tool_name":"WebFetch"}]}'; exit 0 ;; esac
    done ;;
asks)
    # Its result is what it was told, or that it was let.
    say "$init"
    say '{"type":"control_request","request_id":"r9","request":{"subtype":"can_use_tool","tool_name":"WebFetch","tool_use_id":"use1","input":{"url":"http://example.com/a","prompt":"what"}}}'
    while read -r line; do
        case "$line" in
        *'"behavior":"allow"'*'"url":"http://example.com/a"'*) say '{"type":"result","subtype":"success","is_error":false,"result":"let"}'; exit 0 ;;
        *'"behavior":"deny"'*)
            told=$(printf '%s' "$line" | sed 's/.*"message":"\([^"]*\)".*/\1/')
            say "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"$told\",\"permission_denials\":[{\"tool_name\":\"WebFetch\",\"tool_use_id\":\"use1\"}]}"
            exit 0 ;;
        esac
    done ;;
asks-twice)
    # Says what it was told about each of two questions.
    say "$init"
    for n in 1 2; do
        say "{\"type\":\"control_request\",\"request_id\":\"r$n\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"WebFetch\",\"input\":{\"url\":\"http://example.com/$n\"}}}"
    done
    told=
    while read -r line; do
        case "$line" in *'"r1"'*) id=r1 ;; *'"r2"'*) id=r2 ;; *) continue ;; esac
        case "$line" in *'"allow"'*) told="$told $id:allow" ;; *) told="$told $id:deny" ;; esac
        case "$told" in *r1:*r2:* | *r2:*r1:*) say "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"$told\"}"; exit 0 ;; esac
    done ;;
asks-and-goes-on)
    say "$init"
    say '{"type":"control_request","request_id":"r9","request":{"subtype":"can_use_tool","tool_name":"WebFetch","input":{"url":"http://example.com/a"}}}'
    say '{"type":"control_cancel_request","request_id":"r9"}'
    say '{"type":"control_request","request_id":"r10","request":{"subtype":"can_use_tool","tool_name":"WebFetch","input":{"url":"http://example.com/b"}}}'
    while read -r line; do
        case "$line" in *'"r9"'*) exit 9 ;; *'"r10"'*) say "$result"; exit 0 ;; esac
    done ;;
waits-at-a-pipe) say "$init"; read -r line <"$PIPE"; say "$result" ;;
asks-then-hangs)
    say "$init"
    say '{"type":"control_request","request_id":"r9","request":{"subtype":"can_use_tool","tool_name":"WebFetch","input":{"url":"http://example.com/a"}}}'
    exec sleep 30 ;;
asks-without-end)
    # Reads nothing. An id is sent back as it came.
    say "$init"
    id=$(head -c 1000000 /dev/zero | tr '\0' x)
    while :; do say "{\"type\":\"control_request\",\"request_id\":\"$id\",\"request\":{\"subtype\":\"tomorrow\"}}"; done ;;
asks-everybody-at-once)
    # Waits for no answer, and says how many it was given.
    say "$init"
    for n in $(seq 3000); do
        say "{\"type\":\"control_request\",\"request_id\":\"r$n\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"WebFetch\",\"tool_use_id\":\"use$n\",\"input\":{\"url\":\"http://example.com/$n\"}}}"
    done
    denied=0
    while [ $denied -lt 2936 ] && read -r line; do
        case "$line" in *'"behavior":"deny"'*) denied=$((denied + 1)) ;; esac
    done
    say "$result" ;;
asks-about-a-giant)
    say "$init"
    url=$(head -c 2000000 /dev/zero | tr '\0' x)
    say "{\"type\":\"control_request\",\"request_id\":\"r9\",\"request\":{\"subtype\":\"can_use_tool\",\"tool_name\":\"WebFetch\",\"input\":{\"url\":\"$url\"}}}"
    while read -r line; do
        case "$line" in *'"behavior":"deny"'*) say "$result"; exit 0 ;; esac
    done ;;
numbers-without-measure)
    say '{"type":"system","subtype":"init","session_id":"../../../etc","model":"x; touch pwned"}'
    say '{"type":"stream_event","event":{"type":"message_delta","usage":{"input_tokens":18446744073709551615,"output_tokens":18446744073709551615}}}'
    say '{"type":"stream_event","event":{"type":"message_delta","usage":{"input_tokens":18446744073709551615,"output_tokens":-1}}}'
    say '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":18446744073709551615}}'
    say '{"type":"system","subtype":"api_retry","retry_delay_ms":1e308,"error_status":429}'
    say '{"type":"result","subtype":"success","is_error":false,"result":"fine","session_id":"../../x","total_cost_usd":1e308,"usage":{"input_tokens":18446744073709551615},"modelUsage":{"a":{"inputTokens":18446744073709551615,"outputTokens":-5},"b":{"inputTokens":18446744073709551615,"outputTokens":1.5}}}' ;;
unauthorized) say "$init"; say '{"type":"system","subtype":"api_retry","attempt":1,"retry_delay_ms":500,"error_status":401}'; exec sleep 30 ;;
used-up)
    say "$init"
    say '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":99999999999}}'
    say '{"type":"result","subtype":"success","is_error":true,"result":"limit reached"}'; exit 1 ;;
native-silent) say '{"event":{"kind":"text","text":"hm"}}'; exec sleep 30 ;;
native-two-reports) say '{"report":{"stop":null,"summary":"fine","answer":null,"usage":{"inputTokens":0,"outputTokens":0,"cacheReadTokens":0,"cacheWriteTokens":0,"costUsd":0,"turns":0},"retryAfter":null}}'; say '{"report":{}}' ;;
*) echo "no such fault: $FAULT" >&2; exit 99 ;;
esac
