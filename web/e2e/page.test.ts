// The page against a running indexer: numbers live, addresses checked, outages told.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';

import { launch, open } from './browser';

const url = inject('url');
const MAINNET = 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4';
const REGTEST = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
let browser: Browser;

beforeAll(async () => {
  if (url === '') throw new Error('give the address of a running indexer: npm run test:e2e -- http://127.0.0.1:8080');
  browser = await launch();
});
afterAll(() => browser?.close());

it('shows live numbers and talks to its own origin alone', async () => {
  const { page, wrongs } = await open(browser, url);
  const block = page.getByTestId('block');
  await block.waitFor();
  const first = await block.textContent();
  await expect.poll(() => block.textContent(), { timeout: 30_000 }).not.toBe(first);
  await page.getByText('live', { exact: true }).waitFor();
  expect(await page.getByTestId('countdown').textContent()).toMatch(/\d+ (h|min|s)/);
  expect(await page.getByTestId('fair-value').textContent()).toMatch(/^[\d\u202f]+$/);
  const indexed = await (await fetch(`${url}/v1/pool/1`)).json();
  const shown = (await page.getByTestId('fair-value').textContent())?.replaceAll('\u202f', '');
  expect(shown).toBe(indexed.valuation.fairValueSats);
  expect(wrongs).toEqual([]);
  await page.close();
});

it('refuses a mainnet address on regtest, by keyboard alone', async () => {
  const { page } = await open(browser, url);
  await page.getByLabel(/Bitcoin address \(regtest\)/).focus();
  await page.keyboard.type(MAINNET);
  await page.keyboard.press('Enter');
  const error = page.getByTestId('address-error');
  await error.waitFor();
  expect(await error.getAttribute('data-code')).toBe('wrong_network');
  expect(await error.textContent()).toContain('bitcoin mainnet');
  expect(await page.getByRole('button', { name: /Register/ }).count()).toBe(0);
  await page.close();
});

it('takes an address of the right network and shows its script', async () => {
  const { page, wrongs } = await open(browser, url);
  await page.getByLabel(/Bitcoin address/).fill(REGTEST);
  await page.getByRole('button', { name: 'Check' }).click();
  const ok = page.getByTestId('address-ok');
  await ok.waitFor();
  expect(await ok.textContent()).toContain('0x0014751e76e8199196d454941c45d1b3a323f1433bd6');
  expect(wrongs).toEqual([]);
  await page.close();
});

it('says when the indexer is gone, keeps the last numbers, and recovers', async () => {
  const { page } = await open(browser, url);
  await page.getByTestId('block').waitFor();
  await page.route('**/v1/**', (route) => route.abort());
  await page.getByText('offline', { exact: true }).waitFor();
  expect(await page.getByTestId('block').textContent()).toMatch(/\d/);
  await page.unroute('**/v1/**');
  await page.getByText('live', { exact: true }).waitFor();
  await page.close();
});

it('follows the colour scheme of the system', async () => {
  const { page } = await open(browser, url);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.emulateMedia({ colorScheme: 'light' });
  const light = await ground();
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await ground()).not.toBe(light);
  await page.close();
});
