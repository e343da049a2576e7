// npm run test:e2e -- INDEXER_URL [EVM_RPC_URL]: the second is a dev chain and tests registering with a wallet as well.
import { startVitest } from 'vitest/node';

const [url, rpc = ''] = process.argv.slice(2);
if (!url?.startsWith('http')) {
  console.error('usage: npm run test:e2e -- INDEXER_URL [EVM_RPC_URL], for example http://127.0.0.1:8080');
  process.exit(2);
}
const options = { config: 'vitest.e2e.config.ts', run: true, watch: false, provide: { url, rpc } };
const vitest = await startVitest('test', [], options);
const modules = vitest.state.getTestModules();
await vitest.close();
if (modules.length === 0 || modules.some((module) => module.state() !== 'passed')) process.exit(1);
