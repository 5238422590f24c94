"use strict";

// post.ts
var import_node_fs = require("node:fs");

// runner.ts
function say(text) {
  process.stdout.write(`acr-login: ${text.replaceAll(new RegExp("\\p{Cc}+", "gu"), " ")}
`);
}
function fail(message) {
  command("error", message);
  process.exitCode = 1;
}
function state(name) {
  return process.env[`STATE_${name}`] ?? "";
}
function command(name, text) {
  const escaped = text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
  process.stdout.write(`::${name}::${escaped}
`);
}

// post.ts
var folder = state("folder");
if (folder !== "") {
  try {
    (0, import_node_fs.rmSync)(folder, { recursive: true, force: true });
    say("the login is removed");
  } catch {
    fail(`${folder} could not be removed; the login in it ends by itself within the hour`);
  }
}
