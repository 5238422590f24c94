/**
 * What an action and its runner say to one another, as @actions/core has it; that package brings an HTTP client of its own, so the
 * tests compare. https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
 */

import { randomUUID } from "node:crypto";
import { appendFileSync } from "node:fs";

/** An input of action.yml, without the spaces around it; empty where it was left out. */
export function input(name: string): string {
  return (process.env[`INPUT_${name.toUpperCase()}`] ?? "").trim();
}

/** From now on the log has stars in its place. */
export function mask(secret: string): void {
  command("add-mask", secret);
}

/** One line of the log, whatever the text has in it: a line of its own could be a command. */
export function say(text: string): void {
  process.stdout.write(`acr-login: ${text.replaceAll(/\p{Cc}+/gu, " ")}\n`);
}

/** Fails the action with a line that the job's summary shows. */
export function fail(message: string): void {
  command("error", message);
  process.exitCode = 1;
}

export function setOutput(name: string, value: string): void {
  append("GITHUB_OUTPUT", name, value);
}

/** For the job's later steps. */
export function exportVariable(name: string, value: string): void {
  append("GITHUB_ENV", name, value);
}

/** For the post step. */
export function saveState(name: string, value: string): void {
  append("GITHUB_STATE", name, value);
}

export function state(name: string): string {
  return process.env[`STATE_${name}`] ?? "";
}

function command(name: string, text: string): void {
  const escaped = text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
  process.stdout.write(`::${name}::${escaped}\n`);
}

/** @throws Error where this is no runner */
function append(variable: string, name: string, value: string): void {
  const file = process.env[variable];
  if (file === undefined) throw new Error(`${variable} is not set; this runs as a step of GitHub Actions only`);
  // One that the value cannot have in it, or it could set other names.
  const end = `ghadelimiter_${randomUUID()}`;
  appendFileSync(file, `${name}<<${end}\n${value}\n${end}\n`);
}
