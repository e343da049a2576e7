// Registering a payout address through a wallet that the browser offers, backed by the dev chain's unlocked account.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';

import { launch, open } from './browser';

const [url, rpc] = [inject('url'), inject('rpc')];
const REGTEST = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
let browser: Browser;

beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser?.close());

async function ask(method: string, params: unknown): Promise<unknown> {
  const renamed = method === 'eth_requestAccounts' ? 'eth_accounts' : method;
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: renamed, params: params ?? [] });
  const answer = await fetch(rpc, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const { result, error } = (await answer.json()) as { result: unknown; error?: { message: string } };
  if (error !== undefined) throw new Error(error.message);
  return result;
}

/** An EIP-6963 wallet whose keys are the node's. */
async function offerWallet(page: Page): Promise<void> {
  await page.exposeFunction('askNode', ask);
  await page.addInitScript(() => {
    const node = (globalThis as unknown as { askNode: (method: string, params: unknown) => Promise<unknown> }).askNode;
    const provider = {
      request: ({ method, params }: { method: string; params?: unknown }) => node(method, params),
      on: () => undefined,
      removeListener: () => undefined,
    };
    const info = { uuid: '350670db-19fa-4704-a166-e52e178b59d2', name: 'Test Wallet', icon: 'data:,', rdns: 'test.wallet' };
    const announce = () =>
      window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: Object.freeze({ info, provider }) }));
    window.addEventListener('eip6963:requestProvider', announce);
  });
}

// Without the address of a dev chain (second argument) there is no wallet to test with.
if (rpc !== '') {
  it('registers the checked script on chain', async () => {
    const { page, wrongs } = await open(browser, url, offerWallet);
    await page.getByLabel(/Bitcoin address/).fill(REGTEST);
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Register with Test Wallet' }).click();
    const state = page.getByTestId('register-state');
    await expect.poll(() => state.getAttribute('data-step'), { timeout: 30_000 }).toBe('done');
    const [account] = (await ask('eth_accounts', [])) as string[];
    await expect
      .poll(async () => {
        const answer = await fetch(`${url}/v1/accounts/${account}`);
        return ((await answer.json()) as { scripts: { address: string }[] }).scripts[0]?.address;
      })
      .toBe(REGTEST);
    expect(wrongs).toEqual([]);
    await page.close();
  });
} else {
  it('has the address of an indexer', () => {
    expect(url).not.toBe('');
  });
}
