#!/usr/bin/env bash
# Asks, follows the answer through every cut, and stops it, with curl. Explained in curl.md.
#   curl.sh ask <chat> <message>    curl.sh follow <path of a stream>    curl.sh stop <chat>
# API is the API's URL, TOKEN an access token or an API key. Prints one JSON object a line.
set -euo pipefail
longest_wait=60 # seconds; a quota that is used up asks to wait until midnight
request=(--silent --show-error --no-buffer --oauth2-bearer "$TOKEN")

follow() { # path, curl's options...
    local path=$1 id="" status wait line
    shift
    while true; do
        status="" wait=1
        while IFS= read -r line; do
            case ${line%$'\r'} in
                HTTP/*) status=${line#* } status=${status%% *} ;;
                [Rr]etry-[Aa]fter:*) wait=${line//[!0-9]/} ;;
                "id: "*) id=${line#id: } ;;
                "data: [DONE]") return ;;
                "data: "*) printf '%s\n' "${line#data: }" ;;
            esac
        done < <(curl "${request[@]}" --include ${id:+--header "Last-Event-ID: $id"} "$@" "$API$path")
        case $status in
            204) return ;; # there is no more
            "" | 2* | 429 | 502 | 503 | 504) # a cut, or a server that is busy or away
                ((${wait:=1} <= longest_wait)) || { printf '%s\n' "$line" >&2; return 1; }
                ;;
            *) printf '%s\n' "$line" >&2; return 1 ;; # the request is wrong, or the service has a fault
        esac
        sleep "$wait"
    done
}

case $1 in
    ask)
        body=$(python3 -c 'import json, sys; print(json.dumps({"content": sys.argv[1]}))' "$3")
        key=$(python3 -c 'import uuid; print(uuid.uuid4())')
        # Not --json, which accepts nothing but JSON: then the answer is not streamed.
        follow "/api/chats/$2/messages" --header "Idempotency-Key: $key" --header "Content-Type: application/json" \
            --data "$body"
        ;;
    follow) follow "$2" ;;
    stop) curl "${request[@]}" --request POST "$API/api/chats/$2/stop" ;;
esac
