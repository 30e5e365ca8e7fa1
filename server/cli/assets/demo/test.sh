#!/bin/sh
# Runs the report and looks for what has to be in it.
cd "$(dirname "$0")" || exit 1
report=$(sh report.sh sales.csv) || exit 1

check() {
  if ! printf '%s\n' "$report" | grep -Eq "$1"; then
    printf 'not in the report: %s\n%s\n' "$1" "$report" >&2
    exit 1
  fi
}

check 'coffee +20'
check 'total +60'
echo "all checks passed"
