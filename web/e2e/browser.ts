// A Chromium for the tests, and what they watch for on every page.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, type Page, chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** The browser on PATH, or the one that ./scripts/setup --browser unpacked. */
function executable(): string {
  const own = join(import.meta.dirname, '../../.tools/chromium/bin');
  const folders = [...(process.env.PATH ?? '').split(delimiter), own];
  const candidates = folders.flatMap((folder) => ['chromium', 'chromium-browser'].map((name) => join(folder, name)));
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found === undefined) throw new Error('chromium is missing: run ./scripts/setup --browser');
  return found;
}

export async function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: executable(), headless: true, args: FLAGS });
}

/** Things that must not happen on any page: errors in the console, and requests to another origin. */
export interface Watched {
  page: Page;
  wrongs: string[];
}

export async function open(browser: Browser, url: string, prepare?: (page: Page) => Promise<void>): Promise<Watched> {
  const page = await browser.newPage();
  const wrongs: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') wrongs.push(message.text());
  });
  page.on('pageerror', (error) => wrongs.push(error.message));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) wrongs.push(`left the origin: ${request.url()}`);
  });
  await prepare?.(page);
  await page.goto(url);
  return { page, wrongs };
}
