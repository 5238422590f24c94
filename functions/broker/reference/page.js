/** Makes the curl line of the page's form. Sends nothing, and knows no token: the line has the name of a variable. */

const byId = (id) => document.getElementById(id);
const form = byId("curl-form");

/** For a POSIX shell: within single quotes everything is itself. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** What is written in a field, without space around it; nothing where it is empty. */
const written = (id) => byId(id).value.trim();

function wantedKind() {
  return form.querySelector("[name=wanted]:checked").value;
}

/** The fields as `/v1/token` takes them. */
function asked() {
  const fields = {};
  if (written("registry") !== "") fields.registry = written("registry");
  if (wantedKind() === "grant") fields.grant = written("grant");
  else
    fields.scope = written("scope")
      .split(/\s+/)
      .filter((text) => text !== "");
  if (/^\d+$/.test(written("ttl"))) fields.ttl = Number(written("ttl"));
  return fields;
}

function line() {
  const call = byId("call").value;
  const url = (path) => quoted(location.origin + path);
  const token = '-H "Authorization: Bearer $ACR_BROKER_TOKEN"';
  if (call === "whoami") return [`curl -sS ${url("/v1/whoami")}`, token];
  const fields = asked();
  if (call !== "exchange") {
    if (call === "token" && byId("format").value !== "json") fields.format = byId("format").value;
    return [
      `curl -sS ${url(`/v1/${call}`)}`,
      token,
      "-H 'Content-Type: application/json'",
      `-d ${quoted(JSON.stringify(fields))}`,
    ];
  }
  const { registry, scope, ...others } = fields;
  const parameters = {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token_type: `urn:ietf:params:oauth:token-type:${byId("kind").value}`,
    ...(registry === undefined ? {} : { audience: registry }),
    ...(scope === undefined ? {} : { scope: scope.join(" ") }),
    ...others,
  };
  return [
    `curl -sS ${url("/oauth2/token")}`,
    '--data-urlencode "subject_token=$ACR_BROKER_TOKEN"',
    ...Object.entries(parameters).map(([name, value]) => `--data-urlencode ${quoted(`${name}=${value}`)}`),
  ];
}

function show() {
  const call = byId("call").value;
  for (const part of form.querySelectorAll("[data-for]")) {
    const { for: calls, wanted } = part.dataset;
    part.hidden = !calls.split(" ").includes(call) || (wanted !== undefined && wanted !== wantedKind());
  }
  byId("line").textContent = line().join(" \\\n  ");
  byId("copied").textContent = "";
}

async function copy() {
  try {
    await navigator.clipboard.writeText(byId("line").textContent);
    byId("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(byId("line"));
    byId("copied").textContent = "Selected; copy it with your keyboard.";
  }
}

form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
byId("copy").addEventListener("click", copy);
form.hidden = false;
show();
