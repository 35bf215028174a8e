#!/bin/sh
# curl: curl.sh NAME PORT COUNT
#
# The reason of a failure is in what --verbose says, and nowhere else; hence both are read.

name=$1 port=$2 count=$3
said=$(mktemp) || exit
trap 'rm -f "$said"' EXIT

while [ "$count" -gt 0 ]; do
    count=$((count - 1))
    curl --silent --show-error --verbose --max-time 5 --output /dev/null "http://$name:$port/" 2>"$said"
    code=$?
    if [ "$code" -eq 127 ]; then
        echo "curl is missing: cargo xtask setup" >&2
        exit 1
    fi
    if [ "$code" -eq 0 ]; then
        echo '{"ok":true,"error_type":"","errno":null,"message":""}'
        continue
    fi
    errno=null
    grep -q 'Disk quota exceeded' "$said" && errno=122
    message=$(grep -E '^curl: |Disk quota' "$said" | tr '\n\r\t' '   ' | sed 's/[\\"]/\\&/g')
    printf '{"ok":false,"error_type":"exit %s","errno":%s,"message":"%s"}\n' "$code" "$errno" "$message"
done
