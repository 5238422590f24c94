/**
 * How the vendor's RPC gateway answers: error codes with their HTTP status and message, and bodies in JSON or XML.
 * Statuses and messages: the AssumeRole reference (error codes) and the gateway's common error codes.
 */
import type { ServerResponse } from "node:http";

/** A refusal with the code that the real service gives. Thrown by every part of the sandbox's API, rendered once. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

/** Absent mandatory parameters: the gateway names the parameter in the code. */
export function missing(parameter: string): ApiError {
  return new ApiError(400, `Missing${parameter}`, `${parameter} is mandatory for this action.`);
}

export type Format = "JSON" | "XML";
/** What an API returns; nested objects only, as in the answers of the APIs modelled here. */
export type Body = { readonly [name: string]: string | number | boolean | Body };

export interface Reply {
  readonly status: number;
  readonly format: Format;
  /** Root element in XML: `AssumeRoleResponse`, `Error`. JSON has none. */
  readonly root: string;
  readonly requestId: string;
  readonly body: Body;
}

/** The body of a refused call. `Recommend` exists in JSON answers of today's gateway. */
export function errorBody(error: ApiError, requestId: string, host: string): Body {
  return {
    RequestId: requestId,
    HostId: host,
    Code: error.code,
    Message: error.message,
    Recommend: `https://api.aliyun.com/troubleshoot?q=${encodeURIComponent(error.code)}&requestId=${requestId}`,
  };
}

export function send(response: ServerResponse, reply: Reply): void {
  const json = reply.format === "JSON";
  const text = json ? JSON.stringify(reply.body) : toXml(reply.root, reply.body);
  response.writeHead(reply.status, {
    "content-type": json ? "application/json;charset=utf-8" : "text/xml;charset=utf-8",
    "content-length": Buffer.byteLength(text),
    "x-acs-request-id": reply.requestId,
  });
  response.end(text);
}

function toXml(root: string, body: Body): string {
  return `<?xml version="1.0" encoding="UTF-8"?>${element(root, body)}`;
}

function element(name: string, value: Body[string]): string {
  const inner =
    typeof value === "object"
      ? Object.entries(value)
          .map(([key, child]) => element(key, child))
          .join("")
      : escapeXml(String(value));
  return `<${name}>${inner}</${name}>`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
