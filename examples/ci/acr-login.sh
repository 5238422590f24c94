# The login that all recipes here share. Needs curl 7.58 or newer, and jq 1.6 or newer; runs under dash, bash and busybox.
# acr_login FOLDER makes FOLDER a Docker configuration: the one in force so far, and the login beside it. Its caller has
#   acr_token, a command that prints the job's token; asked again for each try, since a token may be good only once;
#   ACR_BROKER_URL, and ACR_SCOPE or ACR_GRANT; perhaps ACR_REGISTRY and ACR_TTL;
# then exports DOCKER_CONFIG=FOLDER, and for podman, skopeo and buildah REGISTRY_AUTH_FILE=FOLDER/auth.json, and in the end removes FOLDER.
# No secret is in a variable or an argument, so neither `set -x` nor `ps` shows one; nor does a .curlrc (-q).
acr_login() (
  umask 077
  folder=$1
  before=${DOCKER_CONFIG:-${HOME:-}/.docker}
  acr_fail() {
    printf 'acr-login: %s\n' "$1" >&2
    exit 1
  }
  for tool in curl jq; do
    command -v "$tool" >/dev/null || acr_fail "there is no $tool here; install it"
  done
  case ${ACR_BROKER_URL:-} in
    *@*) acr_fail 'ACR_BROKER_URL has a user name in it, or is another host than it seems; leave out what stands before the @' ;;
    https://* | http://127.0.0.1:* | http://localhost:*) ;;
    *) acr_fail "ACR_BROKER_URL is '${ACR_BROKER_URL:-}'; it must be the broker's https address" ;;
  esac
  [ -n "${ACR_SCOPE:-}${ACR_GRANT:-}" ] || acr_fail 'set ACR_SCOPE or ACR_GRANT: what the login is for'
  mkdir -p "$folder" || acr_fail "$folder cannot be made"
  work=$(mktemp -d "$folder/acr-login.XXXXXX") || acr_fail "$folder cannot be written"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM

  scope=$(printf %s "${ACR_SCOPE:-}" | tr -s '[:space:]' ' ')
  set -- ${scope:+--data-urlencode} ${scope:+"scope=$scope"} ${ACR_GRANT:+--data-urlencode} ${ACR_GRANT:+"grant=$ACR_GRANT"} \
    ${ACR_REGISTRY:+--data-urlencode} ${ACR_REGISTRY:+"registry=$ACR_REGISTRY"} ${ACR_TTL:+--data-urlencode} ${ACR_TTL:+"ttl=$ACR_TTL"}
  for pause in 1 2 4 last; do
    acr_token >"$work/token" || acr_fail 'the job got no token; why stands above'
    grep -q '[^[:space:]]' "$work/token" || acr_fail 'the job has no token: what should hold it is empty'
    { printf 'Authorization: Bearer ' && cat "$work/token"; } >"$work/header"
    : >"$work/headers"
    status=$(curl -q -g -sS --connect-timeout 10 --max-time 60 -H "@$work/header" -D "$work/headers" -o "$work/answer" \
      -w '%{http_code}' "$@" "${ACR_BROKER_URL%/}/v1/token") || status=000
    case $status in
      000 | 429 | 503 | 504) ;;
      *) break ;;
    esac
    asked=$(tr 'A-Z\r' 'a-z ' <"$work/headers" | sed -n 's/^retry-after: *\([0-9]\{1,5\}\) *$/\1/p' | tail -n 1)
    # A job that would wait for minutes had better fail.
    if [ "$pause" = last ] || [ "${asked:-0}" -gt 60 ]; then break; fi
    printf 'acr-login: no login yet (status %s); trying again in %s s\n' "$status" "${asked:-$pause}" >&2
    sleep "${asked:-$pause}"
  done

  [ "$status" != 000 ] || acr_fail "$ACR_BROKER_URL could not be reached; why stands above"
  # What anything else than the broker answered is not shown: it may be a page that repeats the request.
  if [ "$status" != 200 ]; then
    jq -r 'select((.code | type) == "string" and (.detail | type) == "string")
      | "acr-login: \(.code): \(.detail) (request_id \(.request_id))" | gsub("[[:cntrl:]]"; " ")' "$work/answer" 2>/dev/null | grep . >&2 ||
      acr_fail "$ACR_BROKER_URL answered with status $status and not as the broker does; check the address, and any proxy before it"
    exit 1
  fi
  [ "$(jq 'all(.username, .password, .expires_at, .endpoints[]; type == "string")' "$work/answer" 2>/dev/null)" = true ] ||
    acr_fail "$ACR_BROKER_URL answered with status 200 and not as the broker does; check the address"

  config=$before/config.json
  if ! [ -s "$config" ]; then
    config=$work/none
    echo '{}' >"$config"
  fi
  # With a credential store Docker looks for a login in no file, but for hosts that have another store, named or none.
  jq --slurpfile answer "$work/answer" '
    ($answer[0] | "\(.username):\(.password)" | @base64) as $auth
    | reduce $answer[0].endpoints[] as $host (.;
        .auths[$host] = { auth: $auth }
        | if .credsStore or .credHelpers[$host] then .credHelpers[$host] = "" else . end)' "$config" >"$work/new" 2>/dev/null ||
    acr_fail "$config is no Docker configuration"
  # Plugins, contexts and builders stay where they are.
  for entry in "$before"/*; do
    if [ -e "$entry" ] && ! [ -e "$folder/${entry##*/}" ] && [ "${entry##*/}" != config.json ]; then ln -s "$entry" "$folder/" || exit 1; fi
  done
  # podman and skopeo would look for the store that is none.
  jq '{ auths }' "$work/new" >"$work/auth" || exit 1
  mv "$work/auth" "$folder/auth.json" || exit 1
  mv "$work/new" "$folder/config.json" || exit 1
  jq -r '"acr-login: logged in to \(.endpoints | join(", ")) until \(.expires_at)" | gsub("[[:cntrl:]]"; " ")' "$work/answer"
)
