/**
 * What the broker answers with: as much of `Response` and `Headers` as it uses. Node's own bring the whole of undici with them, which
 * takes a fresh process a third as long again as its start; nothing touches those before it has to (listener.ts takes either).
 */

/** Header fields by their names in lower case, in order. `get` as that of `Headers`: fields of one name are joined. */
export class HeaderFields {
  readonly #fields = new Map<string, string>();

  get(name: string): string | null {
    return this.#fields.get(name.toLowerCase()) ?? null;
  }

  has(name: string): boolean {
    return this.#fields.has(name.toLowerCase());
  }

  set(name: string, value: string): void {
    this.#fields.set(name.toLowerCase(), value);
  }

  /** RFC 9110 section 5.3; cookies by RFC 9113 section 8.2.3. */
  append(name: string, value: string): void {
    const key = name.toLowerCase();
    const before = this.#fields.get(key);
    this.#fields.set(key, before === undefined ? value : `${before}${key === "cookie" ? "; " : ", "}${value}`);
  }

  /** Names and values by turns, as node:http takes them. */
  flat(): string[] {
    const fields: string[] = [];
    for (const [name, value] of this.#fields) fields.push(name, value);
    return fields;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.#fields.entries();
  }
}

/** An answer with a text for its body, or none. */
export class Answer {
  readonly headers = new HeaderFields();

  constructor(
    readonly body: string | null,
    readonly status: number,
    headers: Readonly<Record<string, string>>,
  ) {
    for (const name in headers) this.headers.set(name, headers[name] as string);
  }
}

/** As `new Response`, for those who read status and headers of it and no more, as Hono does. */
export function answer(body: string | null, status: number, headers: Readonly<Record<string, string>>): Response {
  return new Answer(body, status, headers) as unknown as Response;
}

/** An answer that nobody looks into any more. */
export class ReadyAnswer {
  /** `fields`: all but `content-length`; names and values by turns. */
  constructor(
    readonly body: string,
    readonly status: number,
    readonly fields: string[],
  ) {}
}

/** What every answer has beside its own. */
export function ownHeaders(requestId: string): Readonly<Record<string, string>> {
  return { "x-request-id": requestId, "x-content-type-options": "nosniff" };
}

export function json(value: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  return answer(JSON.stringify(value), 200, { "content-type": "application/json", ...headers });
}
