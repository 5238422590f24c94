/** The page at `/docs` of the built broker in a real browser, on a phone and on a desk, in the light and in the dark. */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import type { AxeResults } from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { jobClaims } from "../sandbox/broker-process.ts";
import { type Stack, startStack } from "../sandbox/stack.ts";
import { haveTools, toolPath } from "./tools.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const VIEWS = [360, 1280].flatMap((width) =>
  (["light", "dark"] as const).map((colorScheme) => ({ width, colorScheme })),
);

describe.skipIf(!haveTools(["chromium"]))("the page", () => {
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([
      startStack({ broker: 0, cloud: 0, issuer: 0 }),
      chromium.launch({
        executablePath: toolPath("chromium") as string,
        args: [
          "--no-sandbox",
          "--disable-gpu",
          "--disable-quic",
          "--no-first-run",
          "--disable-background-networking",
          "--disable-component-update",
          "--disable-sync",
        ],
      }),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
  });

  /** The page, what it asked for, and what it complained of. */
  async function opened(options: BrowserContextOptions = {}) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const asked: string[] = [];
    const complaints: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    const response = await page.goto(`${stack.broker.url}/docs`);
    expect(response?.status()).toBe(200);
    return { page, asked, complaints, close: () => context.close() };
  }

  const line = async (page: Page) => (await page.locator("#line").textContent()) ?? "";

  /** As a user pastes it, with a fresh token of a job in the variable that it names. */
  async function run(text: string): Promise<Record<string, unknown>> {
    const minted = await fetch(`${stack.issuerUrl}/mint`, { method: "POST", body: JSON.stringify(jobClaims("main")) });
    const { token } = (await minted.json()) as { token: string };
    const env = { PATH: process.env["PATH"], ACR_BROKER_TOKEN: token };
    const { stdout } = await promisify(execFile)("sh", ["-c", text], { env });
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  describe.each(VIEWS)("$width px wide, $colorScheme", ({ width, colorScheme }) => {
    test("shows everything, asks for nothing else, complains of nothing, fits, and is accessible", async () => {
      const { page, asked, complaints, close } = await opened({ viewport: { width, height: 800 }, colorScheme });
      expect(await page.locator("h3").allInnerTexts()).toContain("Get a credential");
      const [scrolled, visible] = await page.evaluate<[number, number]>(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]",
      );
      expect(scrolled).toBe(visible);
      // As a text, since the page's policy lets no script in.
      await page.evaluate(AXE);
      const { violations, passes } = await page.evaluate<AxeResults>("axe.run()");
      expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
      expect(passes.map(({ id }) => id)).toEqual(expect.arrayContaining(["color-contrast", "label", "region"]));
      expect(complaints).toEqual([]);
      expect(asked).toEqual([`${stack.broker.url}/docs`]);
      const shots = process.env["SCREENSHOTS"];
      if (shots) await page.screenshot({ path: `${shots}/docs-${width}-${colorScheme}.png`, fullPage: true });
      await close();
    });
  });

  test("makes a curl line that gets a credential", async () => {
    const { page, asked, close } = await opened();
    await page.getByLabel("Registry").fill("prod");
    await page.getByRole("textbox", { name: "Scopes" }).fill("repository:web/app:pull\nrepository:base/alpine:pull");
    await page.getByLabel("Lifetime").fill("900");
    const { expires_in: left, ...answer } = await run(await line(page));
    expect(answer).toMatchObject({
      username: "cr_temp_user",
      scope: ["repository:base/alpine:pull", "repository:web/app:pull"],
    });
    // Of 1800 that the grant would allow.
    expect(left).toBeLessThanOrEqual(900);
    // The form goes nowhere, by no key either.
    await page.getByLabel("Registry").press("Enter");
    expect(asked).toEqual([`${stack.broker.url}/docs`]);
    await close();
  });

  test("makes one for each of the other calls", async () => {
    const { page, close } = await opened();
    const call = page.getByLabel("What to do");
    await call.selectOption("exchange");
    expect(await run(await line(page))).toMatchObject({ token_type: "N_A", scope: "repository:web/app:pull,push" });
    await call.selectOption("explain");
    await page.getByLabel("all that a grant gives").check();
    await page.getByLabel("Grant", { exact: true }).fill("web-main");
    expect(await run(await line(page))).toMatchObject({ outcome: "allow", registry: "prod" });
    await call.selectOption("whoami");
    expect(await page.getByLabel("Registry").isVisible()).toBe(false);
    expect(await run(await line(page))).toMatchObject({ principal: { issuer: "ci" } });
    await close();
  });

  test("makes one in which what was typed stays data", async () => {
    const { page, close } = await opened();
    const nasty = `it's "$(touch /tmp/x)" \`id\` \\ $HOME @/etc/passwd`;
    await page.getByLabel("Registry").fill(nasty);
    const detail = expect.stringContaining(JSON.stringify(nasty));
    expect(await run(await line(page))).toMatchObject({ code: "unknown_registry", detail });
    await close();
  });

  test("is used by keyboard alone", async () => {
    const { page, close } = await opened({ permissions: ["clipboard-read", "clipboard-write"] });
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the content");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.id")).toBe("call");
    await page.keyboard.press("ArrowDown");
    expect(await line(page)).toContain("/oauth2/token");
    await page.getByRole("button", { name: "Copy the line" }).press("Enter");
    await page.getByText("Copied.").waitFor();
    expect(await page.evaluate("navigator.clipboard.readText()")).toBe(await line(page));
    await close();
  });

  test("can be read without scripts", async () => {
    const { page, close } = await opened({ javaScriptEnabled: false });
    expect(await page.getByText("Fields of the request").count()).toBe(3);
    expect(await page.locator("#curl-form").isVisible()).toBe(false);
    await close();
  });
});
