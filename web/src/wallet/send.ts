// The one transaction that this page sends. ethers is loaded when it is needed and not before.
import type { Deployment } from '../api/types';
import type { Wallet } from './discover';

const ABI = ['function setScript(bytes script, uint64 minimum)'];

/** Asks the wallet to register `script`; resolves to the transaction hash once it is mined. */
export async function registerScript(
  wallet: Wallet,
  deployment: Deployment,
  script: string,
  sent: (hash: string) => void,
): Promise<void> {
  const { BrowserProvider, Contract } = await import('ethers');
  const provider = new BrowserProvider(wallet.provider);
  const signer = await provider.getSigner();
  const { chainId } = await provider.getNetwork();
  if (chainId !== BigInt(deployment.chainId)) {
    throw new Error(`The wallet is on chain ${chainId}; switch it to chain ${deployment.chainId} and try again.`);
  }
  const registry = new Contract(deployment.payoutRegistry, ABI, signer);
  const transaction = await registry.getFunction('setScript')(script, 0n);
  sent(transaction.hash);
  await transaction.wait();
}

/** The wallet's reason in one sentence. */
export function reason(error: unknown): string {
  if (typeof error === 'object' && error !== null) {
    if (Reflect.get(error, 'code') === 'ACTION_REJECTED') return 'You declined in the wallet. Nothing was sent.';
    const text: unknown = Reflect.get(error, 'shortMessage') ?? Reflect.get(error, 'message');
    if (typeof text === 'string' && text !== '') return text;
  }
  return 'The wallet gave no reason.';
}
