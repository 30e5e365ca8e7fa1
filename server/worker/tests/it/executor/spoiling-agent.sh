#!/bin/sh
# A Claude Code that spoils its home as $SPOIL says, and then claims that all is well.
case "$1" in --help | --version) exit 0 ;; esac
for arg; do case "$arg" in --session-id=*) id=${arg#*=} ;; esac; done
home=$(dirname "$CLAUDE_CONFIG_DIR")
project="$CLAUDE_CONFIG_DIR/projects/-w"
record="$project/$id.jsonl"
results="$project/$id/tool-results"
mkdir -p "$results"
echo '{}' > "$record"
eval "$SPOIL"
echo '{"type":"system","subtype":"init","session_id":"../../../canary","model":"--help"}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"fine"}'
